"""How long a stop takes, beside the time-optimal one that ``ruckig`` finds for the same limits."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from ruckig import ControlInterface, InputParameter, Ruckig, Trajectory

from edge.safety import Limits, SafetyFilter
from firmware_bridge.messages import SafeSetpoint
from tests.property.test_safety_properties import assert_within_limits

NAMES = ("a",)
ROUNDING_S = 1e-6


def finite(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_subnormal=False)


@st.composite
def moving(draw: st.DrawFn) -> tuple[SafetyFilter, float, list[float]]:
    """A filter of one joint in some motion within its limits, its period, and where it has been."""
    period_s = 1.0 / draw(st.sampled_from([50, 100, 200, 500, 1000]))
    acceleration = draw(finite(1.0, 200.0))
    limits = Limits(
        lower_rad=np.array([-draw(finite(0.1, 3.0))]),
        upper_rad=np.array([draw(finite(0.1, 3.0))]),
        velocity_rad_s=np.array([draw(finite(0.1, 10.0))]),
        acceleration_rad_s2=np.array([acceleration]),
        jerk_rad_s3=np.array([2 * acceleration / (draw(finite(0.5, 12.0)) * period_s)]),
        tracking_error_rad=np.array([np.inf]),
    )
    safety = SafetyFilter(NAMES, limits, period_s)
    safety.engage(np.zeros(1))
    path = [0.0, 0.0, 0.0]
    for reference, ticks in draw(
        st.lists(st.tuples(finite(-5.0, 5.0), st.integers(1, 40)), min_size=1, max_size=6)
    ):
        for _ in range(ticks):
            path.append(advance(safety.track(np.array([reference]), 0)))
    return safety, period_s, path


def advance(verdict: object) -> float:
    assert isinstance(verdict, SafeSetpoint)
    return float(verdict.position_rad[0])


def window_s(limits: Limits, period_s: float) -> float:
    """The smoothing window: full braking to full acceleration at the jerk limit, in whole ticks."""
    seconds = 2 * limits.acceleration_rad_s2[0] / limits.jerk_rad_s3[0]
    return float(np.ceil(seconds / period_s - 1e-6)) * period_s


def brake(safety: SafetyFilter, period_s: float) -> list[float]:
    """Positions until it stands."""
    limits, path = safety.limits, []
    longest_s = limits.velocity_rad_s[0] / limits.acceleration_rad_s2[0] + window_s(
        limits, period_s
    )
    while not safety.at_rest:
        path.append(advance(safety.decelerate(0)))
        assert (len(path) - 2) * period_s <= longest_s
    return path


def optimal_stop_s(limits: Limits, velocity: float, acceleration: float) -> float:
    """Time of the fastest stop within acceleration and jerk."""
    asked = InputParameter(1)
    asked.control_interface = ControlInterface.Velocity
    asked.current_velocity, asked.current_acceleration = [velocity], [acceleration]
    asked.target_velocity, asked.target_acceleration = [0.0], [0.0]
    asked.max_acceleration = limits.acceleration_rad_s2.tolist()
    asked.max_jerk = limits.jerk_rad_s3.tolist()
    found = Trajectory(1)
    Ruckig(1).calculate(asked, found)
    return float(found.duration)


def ticks_in_motion(before: float, path: list[float]) -> int:
    moved = np.flatnonzero(np.diff([before, *path]))
    return int(moved[-1]) + 1 if len(moved) else 0


def measured_stop(motion: tuple[SafetyFilter, float, list[float]]) -> tuple[float, float]:
    """How long the filter takes to stop, and how long the fastest stop takes, s."""
    safety, period_s, path = motion
    velocity = (path[-1] - path[-2]) / period_s
    acceleration = (path[-1] - 2 * path[-2] + path[-3]) / period_s**2
    fastest_s = optimal_stop_s(safety.limits, velocity, acceleration)
    return ticks_in_motion(path[-1], brake(safety, period_s)) * period_s, fastest_s


@settings(max_examples=250)
@given(moving())
def test_a_stop_takes_at_most_a_smoothing_window_longer_than_the_fastest_there_is(
    motion: tuple[SafetyFilter, float, list[float]],
) -> None:
    safety, period_s, _ = motion
    taken_s, fastest_s = measured_stop(motion)
    assert taken_s <= fastest_s + window_s(safety.limits, period_s) + ROUNDING_S


@settings(max_examples=250)
@given(moving())
def test_no_stop_is_faster_than_the_fastest_within_the_limits(
    motion: tuple[SafetyFilter, float, list[float]],
) -> None:
    """But for the ticks across which velocity, acceleration and jerk are differences."""
    _, period_s, _ = motion
    taken_s, fastest_s = measured_stop(motion)
    assert taken_s >= fastest_s - 3 * period_s - ROUNDING_S


@settings(max_examples=250)
@given(moving())
def test_a_stop_keeps_every_limit(motion: tuple[SafetyFilter, float, list[float]]) -> None:
    safety, period_s, path = motion
    stopped = path + brake(safety, period_s)
    assert_within_limits(safety, np.array(stopped)[:, None])
    assert brake(safety, period_s) == []
    assert advance(safety.decelerate(0)) == stopped[-1]
