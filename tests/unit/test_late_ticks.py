"""A late tick of the real servo names its slow stage, and the report counts it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.operator import Operator
from edge.records import CONTROL, tick_dtype
from edge.report import Report
from edge.servo import Servo
from edge.shared_memory import Mailbox, Ring
from edge.stages import Stage
from firmware_bridge.messages import SafeSetpoint
from tests.edge_desk import Desk
from tests.edge_parts import make_robot

SLOW_S = 0.02  # of a tick of 2 ms


class SlowPart:
    """A pilot, and a bus to write to, that dawdle in one stage."""

    at_rest = True
    may_end = True

    def __init__(self, slow: Stage, inner: Any) -> None:
        self._slow = slow
        self._inner = inner

    def read(self) -> Any:
        self._dawdle(Stage.READ)
        return self._inner.read()

    def decide(self, _reading: Any, now_ns: int) -> SafeSetpoint:
        self._dawdle(Stage.DECIDE)
        return SafeSetpoint(now_ns, np.zeros(2))

    def write_setpoints(self, _setpoint: SafeSetpoint) -> None:
        self._dawdle(Stage.WRITE)

    def give_notice(self, _expected_ns: int) -> None:
        """It plans nothing."""

    def ask_for_plan(self, _now_ns: int) -> None:
        """It plans nothing."""

    def describe(self, tick: Any, _now_ns: int) -> None:
        tick["rung"] = 0

    def _dawdle(self, stage: Stage) -> None:
        if stage is self._slow:
            time.sleep(SLOW_S)


@pytest.mark.parametrize("stage", [Stage.READ, Stage.DECIDE, Stage.WRITE])
def test_a_late_tick_names_its_slow_stage(tmp_path: Path, stage: Stage) -> None:
    robot = make_robot(servo__rate_hz=500)
    ring = Ring(tmp_path / "ticks", tick_dtype(2), 16, create=True)
    with Desk(tmp_path) as desk:
        part: Any = SlowPart(stage, desk.sensing)
        control = Mailbox(tmp_path / "control", CONTROL, create=True)
        servo = Servo(robot, part, part, part, Operator(control, 0), ring)
        servo.tick()
    report = Report(robot)
    report.add_ticks(Ring(tmp_path / "ticks", tick_dtype(2), 16).drain())
    assert report.late_ticks == 1
    assert report.late_stages == {stage.label: 1}
    assert report.summary()["late_stages"] == {stage.label: 1}
