"""What the safety filter promises for a joint that takes velocities, beside one of an arm."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.safety import Limits, SafetyFilter, Stop
from firmware_bridge.messages import SafeSetpoint
from tests.property.test_safety_properties import assert_within_limits, finite

NAMES = ("waist", "wheel")


@st.composite
def filters(draw: st.DrawFn) -> SafetyFilter:
    """An engaged filter of an arm joint and a wheel, at rest."""
    period_s = 1.0 / draw(st.integers(10, 1000))
    acceleration = np.array([draw(finite(0.1, 2000.0)) for _ in NAMES])
    ramps_s = np.array([draw(finite(0.5, 12.0)) for _ in NAMES]) * period_s
    limits = Limits(
        lower_rad=np.array([-1.0, -np.inf]),
        upper_rad=np.array([1.0, np.inf]),
        velocity_rad_s=np.array([draw(finite(0.01, 50.0)) for _ in NAMES]),
        acceleration_rad_s2=acceleration,
        jerk_rad_s3=2 * acceleration / ramps_s,
        tracking_error_rad=np.full(2, np.inf),
        takes_velocity=np.array([False, True]),
    )
    made = SafetyFilter(NAMES, limits, period_s)
    assert made.engage(np.array([0.0, draw(finite(-100.0, 100.0))])) is None
    return made


references = st.lists(
    st.tuples(finite(-4.0, 4.0), finite(-1e6, 1e6)).map(np.array), min_size=1, max_size=80
)


def drive(safety: SafetyFilter, wanted: list[np.ndarray]) -> list[SafeSetpoint]:
    made = [safety.track(reference, tick) for tick, reference in enumerate(wanted)]
    assert all(isinstance(one, SafeSetpoint) for one in made)
    return [one for one in made if isinstance(one, SafeSetpoint)]


@settings(max_examples=60)
@given(filters(), references)
def test_no_velocity_acceleration_or_jerk_is_ever_exceeded_and_a_wheel_has_no_end(
    safety: SafetyFilter, wanted: list[np.ndarray]
) -> None:
    start = safety.position_rad.copy()
    setpoints = drive(safety, wanted)
    assert_within_limits(safety, np.array([start, *(one.position_rad for one in setpoints)]))


@settings(max_examples=60)
@given(filters(), references)
def test_the_velocity_that_is_sent_is_that_of_the_command(
    safety: SafetyFilter, wanted: list[np.ndarray]
) -> None:
    positions = [safety.position_rad.copy()]
    for setpoint in drive(safety, wanted):
        positions.append(setpoint.position_rad)
        assert setpoint.velocity_rad_s is not None
        moved = np.diff(positions[-2:], axis=0)[0]
        rounding = 1e-12 * (1.0 + np.abs(positions[-1]))
        off = np.abs(setpoint.velocity_rad_s * safety._period_s - moved)
        assert (off <= rounding).all()
        assert (np.abs(setpoint.velocity_rad_s) <= safety.limits.velocity_rad_s * (1 + 1e-9)).all()


@settings(max_examples=60)
@given(filters(), references)
def test_slowed_down_a_wheel_comes_to_no_velocity_at_all(
    safety: SafetyFilter, wanted: list[np.ndarray]
) -> None:
    drive(safety, wanted)
    braking_s = np.max(safety.limits.velocity_rad_s / safety.limits.acceleration_rad_s2)
    last: SafeSetpoint | Stop = Stop("not yet")
    for tick in range(min(300, int(braking_s / safety._period_s) + 20)):
        last = safety.decelerate(tick)
    assert isinstance(last, SafeSetpoint) and last.velocity_rad_s is not None
    if safety.at_rest:
        np.testing.assert_array_equal(last.velocity_rad_s, 0.0)
    else:  # it had further to brake than this test waits for
        assert braking_s / safety._period_s > 270


@settings(max_examples=40)
@given(filters(), finite(0.0, 0.99), st.sampled_from([-1, 1]))
def test_a_steady_velocity_within_the_limits_is_reached_exactly(
    safety: SafetyFilter, share: float, sign: int
) -> None:
    limits = safety.limits
    wanted = sign * share * limits.velocity_rad_s[1]
    ticks = int(abs(wanted) / limits.acceleration_rad_s2[1] / safety._period_s) + 20
    if ticks > 400:
        return
    last = drive(safety, [np.array([0.0, wanted])] * ticks)[-1]
    assert last.velocity_rad_s is not None
    np.testing.assert_allclose(last.velocity_rad_s[1], wanted, rtol=1e-6, atol=1e-7)


def test_a_velocity_that_is_not_finite_stops() -> None:
    limits = Limits(*[np.full(2, 1.0)] * 5, np.full(2, np.inf), np.array([False, True]))
    safety = SafetyFilter(NAMES, limits, 0.005)
    safety.engage(np.zeros(2))
    assert safety.track(np.array([0.0, np.nan]), 0) == Stop("reference of wheel is nan")


def test_a_part_of_a_setpoint_is_some_of_its_joints_as_they_are() -> None:
    limits = Limits(*[np.full(2, 1.0)] * 5, np.full(2, np.inf), np.array([False, True]))
    safety = SafetyFilter(NAMES, limits, 0.005)
    safety.engage(np.array([0.25, 0.5]))
    whole = safety.track(np.array([0.25, 1.0]), 7)
    assert isinstance(whole, SafeSetpoint) and whole.velocity_rad_s is not None
    wheel = whole.part(np.array([1]))
    assert wheel.stamp_ns == 7
    assert wheel.position_rad.tolist() == whole.position_rad[1:].tolist()
    assert wheel.velocity_rad_s is not None
    assert wheel.velocity_rad_s.tolist() == whole.velocity_rad_s[1:].tolist()
