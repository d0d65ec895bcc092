from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from edge.safety import Limits, SafetyFilter, Stop, smoothing_ticks
from firmware_bridge.messages import SafeSetpoint
from tests.edge_parts import make_robot

ROOT = Path(__file__).parents[2]
ROOMS = ("edge", "firmware_bridge", "calibration", "models")
PERIOD_S = 0.005
A_BIT = 1e-6


def one_joint(**changes: float) -> SafetyFilter:
    """−1 to 2 rad, 3 rad/s, 30 rad/s², and jerk so high that nothing is smoothed."""
    values = {"lower": -1.0, "upper": 2.0, "velocity": 3.0, "acceleration": 30.0, "jerk": 1e9}
    values |= changes
    arrays = [np.array([values[key]]) for key in ("lower", "upper", "velocity", "acceleration")]
    jerk, error = np.array([values["jerk"]]), np.array([changes.get("error", np.inf)])
    return SafetyFilter(("waist",), Limits(*arrays, jerk, error), PERIOD_S)


def step(safety: SafetyFilter, reference: float) -> float:
    """How far one tick towards a reference goes."""
    before = float(safety.position_rad[0])
    verdict = safety.track(np.array([reference]), 0)
    assert isinstance(verdict, SafeSetpoint)
    return float(verdict.position_rad[0]) - before


def makers_of(name: str) -> set[str]:
    """Modules of ours that call ``name``, however it was imported."""
    makers = set()
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                called = node.func
                label = called.attr if isinstance(called, ast.Attribute) else ""
                label = called.id if isinstance(called, ast.Name) else label
                if label == name or (label == "replace" and "setpoint" in ast.unparse(node)):
                    makers.add(path.relative_to(ROOT).as_posix())
    return makers


def test_only_the_safety_filter_makes_a_safe_setpoint() -> None:
    part = "firmware_bridge/messages.py"  # SafeSetpoint.part: some of the joints, as they are
    assert makers_of("SafeSetpoint") == {"edge/safety.py", part}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom):
                    renamed = [n for n in node.names if n.name == "SafeSetpoint" and n.asname]
                    assert not renamed, f"{path} hides SafeSetpoint behind another name"


def test_before_it_is_engaged_nothing_is_made() -> None:
    safety = one_joint()
    assert safety.track(np.zeros(1), 0) == Stop("the safety filter is not engaged")
    assert safety.decelerate(0) == Stop("the safety filter is not engaged")


def test_velocity_is_free_just_inside_and_bounded_just_outside() -> None:
    for wanted, got in ((3.0 - A_BIT, 3.0 - A_BIT), (3.0 + A_BIT, 3.0)):
        safety = one_joint(acceleration=2000.0)
        safety.engage(np.array([0.0]))
        moved = step(safety, wanted * PERIOD_S)
        assert moved / PERIOD_S == pytest.approx(got, abs=A_BIT / 10)


def test_acceleration_is_free_just_inside_and_bounded_just_outside() -> None:
    for wanted, got in ((30.0 - A_BIT, 30.0 - A_BIT), (30.0 + 1e-3, 30.0)):
        safety = one_joint()
        safety.engage(np.array([0.0]))
        moved = step(safety, wanted * PERIOD_S**2)
        assert moved / PERIOD_S**2 == pytest.approx(got, abs=A_BIT / 10)


@pytest.mark.parametrize(("limit", "side"), [(-1.0, -1), (2.0, 1)])
def test_a_position_limit_is_reached_and_not_passed(limit: float, side: int) -> None:
    safety = one_joint()
    safety.engage(np.array([limit - side * 0.2]))
    for beyond in (-A_BIT, A_BIT):
        for _ in range(600):
            step(safety, limit + side * beyond)
        inside = limit + side * min(beyond, 0.0)
        assert safety.position_rad[0] == pytest.approx(inside, abs=A_BIT / 10)
        assert side * (safety.position_rad[0] - limit) <= 1e-12


def test_jerk_is_bounded_by_a_mean_that_is_as_long_as_it_must_be() -> None:
    limits = Limits.of(make_robot(joint_limits__waist__max_jerk=3000.0))
    assert smoothing_ticks(limits, PERIOD_S) * PERIOD_S >= 2 * 30.0 / 3000.0
    assert smoothing_ticks(one_joint().limits, PERIOD_S) == 1
    assert smoothing_ticks(one_joint(jerk=2 * 30.0 / (4 * PERIOD_S)).limits, PERIOD_S) == 4
    assert smoothing_ticks(one_joint(jerk=2 * 30.0 / (4 * PERIOD_S) - 1).limits, PERIOD_S) == 5


def test_a_joint_off_its_command_stops_the_arm_and_is_named() -> None:
    safety = one_joint(error=0.6)
    safety.engage(np.array([0.5]))
    assert safety.check_tracking(np.array([1.1 - A_BIT])) is None
    stop = safety.check_tracking(np.array([-0.1 - 1e-3]))
    assert stop == Stop("waist is 0.601 rad off its command, allowed are 0.6")


def test_a_joint_that_presses_may_be_off_its_command() -> None:
    safety = SafetyFilter(("waist", "gripper"), Limits.of(make_robot()), PERIOD_S)
    safety.engage(np.array([0.0, 0.0]))
    assert safety.check_tracking(np.array([0.0, 1.5])) is None
    assert safety.check_tracking(np.array([1.5, 0.0])) is not None


def test_a_setpoint_is_a_copy_that_later_ticks_leave_alone() -> None:
    safety = one_joint()
    safety.engage(np.array([0.0]))
    first = safety.track(np.array([1.0]), 0)
    assert isinstance(first, SafeSetpoint)
    kept = first.position_rad.copy()
    step(safety, 1.0)
    np.testing.assert_array_equal(first.position_rad, kept)
