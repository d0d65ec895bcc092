from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.drive import DriveReference
from edge.engaging import AtOnce
from edge.errors import UsageError
from edge.ladder import Mode, Rung
from edge.operator import Operator
from edge.pilot import Pilot
from edge.reading import JointReader
from edge.records import CONTROL, chunk_dtype, drive_dtype, reason_of, request_dtype, tick_dtype
from edge.requests import PlanRequests
from edge.safety import Stop
from edge.sensing import Sensing
from edge.shared_memory import Mailbox
from edge.turning import LASTING_S, TurningWatch
from tests.edge_desk import Desk
from tests.edge_parts import TICK_NS, MemoryBus, make_robot
from tests.property.ladder_world import make_mobile

LASTING_TICKS = round(LASTING_S * 200)
LIMIT_RAD_S = 4.0  # of the wheel, joint 1 of three
A_BIT = 1e-6


def speeds(wheel_rad_s: float) -> np.ndarray:
    return np.array([0.0, wheel_rad_s, 0.0])


def verdicts(watch: TurningWatch, commanded: float, measured: float, ticks: int) -> list[Any]:
    return [watch.check(speeds(commanded), speeds(measured)) for _ in range(ticks)]


def test_a_wheel_that_is_off_its_velocity_for_long_stops_the_robot_and_is_named() -> None:
    found = verdicts(TurningWatch(make_mobile()), 5.0, 0.5, LASTING_TICKS + 1)
    assert found[:-1] == [None] * LASTING_TICKS
    words = "wheel turns at 0.50 rad/s, commanded are 5.00, allowed are 4 apart"
    assert found[-1] == Stop(words)


def test_a_wheel_may_be_off_its_velocity_by_just_the_limit_for_ever() -> None:
    watch = TurningWatch(make_mobile())
    assert set(verdicts(watch, LIMIT_RAD_S, 0.0, 10 * LASTING_TICKS)) == {None}
    assert verdicts(watch, LIMIT_RAD_S + A_BIT, 0.0, LASTING_TICKS + 1)[-1] is not None


def test_a_wheel_that_lags_behind_while_it_speeds_up_is_left_alone() -> None:
    watch = TurningWatch(make_mobile())
    for _ in range(5):
        assert set(verdicts(watch, 6.0, 0.0, LASTING_TICKS)) == {None}
        assert verdicts(watch, 6.0, 5.0, 1) == [None]


def test_a_wheel_that_turns_although_it_should_stand_stops_the_robot() -> None:
    assert verdicts(TurningWatch(make_mobile()), 0.0, -6.0, LASTING_TICKS + 1)[-1] is not None


def test_a_velocity_that_is_not_a_number_counts_as_off() -> None:
    watch = TurningWatch(make_mobile())
    assert verdicts(watch, 0.0, np.nan, LASTING_TICKS + 1)[-1] is not None


def test_joints_without_a_limit_are_not_watched() -> None:
    watch = TurningWatch(make_mobile())
    for _ in range(2 * LASTING_TICKS):
        assert watch.check(np.zeros(3), np.array([50.0, 0.0, np.nan])) is None


def test_a_joint_that_takes_positions_has_no_limit_of_its_velocitys_error() -> None:
    with pytest.raises(UsageError, match=r"joints\.waist\.max_velocity_error_rad_s is 1\.0"):
        make_robot(joints__0__max_velocity_error_rad_s=1.0)


class Driven(Desk):
    """A pilot on a robot with a wheel, which its operator drives at 6 rad/s."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        robot = make_mobile()
        self.bus = MemoryBus(lambda: self.now_ns, (0.5, 7.0, 0.5))
        reader = JointReader(self.bus)
        sensing = Sensing(robot, self.manifest, reader, [self.tracker])
        posted = Mailbox(folder / "request", request_dtype(self.manifest))
        chunks = Mailbox(folder / "chunk", chunk_dtype(self.manifest))
        requests = PlanRequests(robot, self.manifest, posted, chunks, self.bell)
        self._control = Mailbox(folder / "control", CONTROL, create=True)
        self._drive = Mailbox(folder / "drive", drive_dtype(1), create=True)
        operator = Operator(Mailbox(folder / "control", CONTROL), self.now_ns)
        drive = DriveReference(Mailbox(folder / "drive", drive_dtype(1)))
        joints = AtOnce(self.bus.enable)
        self._sensing = sensing
        self.pilot = Pilot(robot, self.manifest, operator, sensing, requests, joints, drive)
        self.mode, self.blocked = Mode.DRIVE, False
        self.tick = np.zeros((), tick_dtype(3))

    def go(self, ticks: int) -> Rung:
        for _ in range(ticks):
            self._go()
        return Rung(int(self.tick["rung"]))

    def _go(self) -> None:
        self.now_ns += TICK_NS
        self.send(np.zeros(3, np.float32))
        control, drive = np.zeros((), CONTROL), np.zeros((), drive_dtype(1))
        control["mode"], control["heartbeat_ns"] = self.mode, self.now_ns
        drive["stamp_ns"], drive["velocity_rad_s"] = self.now_ns, 6.0
        self._control.post(control)
        self._drive.post(drive)
        setpoint = self.pilot.decide(self._sensing.read(), self.now_ns)
        if setpoint is not None:
            self.bus.write_setpoints(setpoint)
        if self.blocked:
            self.bus.velocity_rad_s[:] = 0.0
        self.pilot.describe(self.tick, self.now_ns)


@pytest.fixture
def driven(tmp_path: Path) -> Iterator[Driven]:
    with Driven(tmp_path) as made:
        yield made


def test_a_wheel_that_turns_as_commanded_goes_on_turning(driven: Driven) -> None:
    assert driven.go(400) is Rung.DRIVE
    assert driven.bus.velocity_rad_s[1] == pytest.approx(6.0)


def test_a_blocked_wheel_brings_the_robot_to_rest_until_the_next_command(driven: Driven) -> None:
    assert driven.go(200) is Rung.DRIVE
    driven.blocked = True
    assert driven.go(LASTING_TICKS + 100) is Rung.HOLD
    assert reason_of(driven.tick).startswith("wheel turns at 0.00 rad/s, commanded are 6.00")
    driven.blocked = False
    assert driven.go(100) is Rung.HOLD
    driven.mode = Mode.IDLE
    driven.go(2)
    driven.mode = Mode.DRIVE
    assert driven.go(100) is Rung.DRIVE
