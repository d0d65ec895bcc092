"""What the safety filter promises for every reference, every limit and every period."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge.safety import Limits, SafetyFilter, Stop
from firmware_bridge.messages import SafeSetpoint

EXACT = 1e-9  # rounding of positions in rad
NAMES = ("a", "b")


def finite(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_subnormal=False)


@st.composite
def filters(draw: st.DrawFn) -> SafetyFilter:
    """An engaged filter of two joints, at rest inside of its limits."""
    period_s = 1.0 / draw(st.integers(10, 1000))
    lower = np.array([draw(finite(-3.0, 0.0)) for _ in NAMES])
    upper = lower + np.array([draw(finite(0.01, 6.0)) for _ in NAMES])
    acceleration = np.array([draw(finite(0.1, 2000.0)) for _ in NAMES])
    ramps_s = np.array([draw(finite(0.5, 12.0)) for _ in NAMES]) * period_s
    limits = Limits(
        lower_rad=lower,
        upper_rad=upper,
        velocity_rad_s=np.array([draw(finite(0.01, 50.0)) for _ in NAMES]),
        acceleration_rad_s2=acceleration,
        jerk_rad_s3=2 * acceleration / ramps_s,
        tracking_error_rad=np.full(2, np.inf),
    )
    made = SafetyFilter(NAMES, limits, period_s)
    share = np.array([draw(finite(0.0, 1.0)) for _ in NAMES])
    assert made.engage(lower + share * (upper - lower)) is None
    return made


references = st.lists(
    st.one_of(
        st.tuples(finite(-8.0, 8.0), finite(-8.0, 8.0)),
        st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2),
    ).map(np.array),
    min_size=1,
    max_size=60,
)


@st.composite
def sweeps(draw: st.DrawFn) -> list[np.ndarray]:
    """Steady motions that go on far beyond the limits, one after another, some far too fast."""
    position, path = np.array([draw(finite(-3.0, 3.0)) for _ in NAMES]), []
    for _ in range(draw(st.integers(1, 4))):
        step = np.array([draw(finite(-1.0, 1.0)) for _ in NAMES]) * draw(
            st.sampled_from([0.001, 0.01, 0.1, 1.0])
        )
        for _ in range(draw(st.integers(1, 60))):
            position = position + step
            path.append(position)
    return path


def drive(safety: SafetyFilter, wanted: list[np.ndarray]) -> np.ndarray:
    """Positions, shape (1 + ticks, joints): where it stood, and every setpoint."""
    positions = [safety.position_rad.copy()]
    for tick, reference in enumerate(wanted):
        verdict = safety.track(reference, tick)
        assert isinstance(verdict, SafeSetpoint)
        assert verdict.stamp_ns == tick
        positions.append(verdict.position_rad)
    return np.array(positions)


def assert_within_limits(safety: SafetyFilter, positions: np.ndarray) -> None:
    """Positions from rest, shape (1 + ticks, joints); derivatives allowed their rounding."""
    limits, period = safety.limits, safety._period_s
    assert np.isfinite(positions).all()
    assert (positions >= limits.lower_rad - EXACT).all()
    assert (positions <= limits.upper_rad + EXACT).all()
    derivative = np.vstack([np.repeat(positions[:1], 3, axis=0), positions[1:]])
    bounds = (limits.velocity_rad_s, limits.acceleration_rad_s2, limits.jerk_rad_s3)
    rounding = 1e-13
    for bound in bounds:
        derivative = np.diff(derivative, axis=0) / period
        rounding *= 2 / period
        assert (np.abs(derivative) <= bound * (1 + 1e-6) + rounding).all()


@settings(max_examples=150)
@given(filters(), st.one_of(references, sweeps()))
def test_no_limit_is_ever_exceeded(safety: SafetyFilter, wanted: list[np.ndarray]) -> None:
    assert_within_limits(safety, drive(safety, wanted))


@settings(max_examples=150)
@given(filters(), references)
def test_from_every_command_it_stops_within_the_limits(
    safety: SafetyFilter, wanted: list[np.ndarray]
) -> None:
    positions = list(drive(safety, wanted))
    limits = safety.limits
    braking_s = np.max(limits.velocity_rad_s / limits.acceleration_rad_s2)
    ticks = int(braking_s / safety._period_s) + 20
    assume(ticks < 3000)
    for tick in range(ticks):
        verdict = safety.decelerate(tick)
        assert isinstance(verdict, SafeSetpoint)
        positions.append(verdict.position_rad)
    assert safety.at_rest
    assert_within_limits(safety, np.array(positions))
    np.testing.assert_array_equal(safety.decelerate(ticks).position_rad, positions[-1])


@given(filters(), st.lists(finite(-0.95, 0.95), min_size=1, max_size=60), finite(0.05, 0.9))
def test_a_feasible_reference_is_followed_exactly(
    safety: SafetyFilter, pushes: list[float], share: float
) -> None:
    """But for the mean over ``2 · delay_ns`` that bounds the jerk.

    Feasible: within velocity and acceleration, and never nearer to a limit than can be braked.
    """
    limits, period = safety.limits, safety._period_s
    position, velocity = safety.position_rad.copy(), np.zeros(2)
    window = 1 + round(2 * safety.delay_ns / (period * 1e9))
    wanted = [position] * window
    for push in pushes:
        faster = velocity + push * limits.acceleration_rad_s2 * period
        faster = np.clip(faster, -share * limits.velocity_rad_s, share * limits.velocity_rad_s)
        braking = 2 * np.abs(faster) * period + faster**2 / (2 * limits.acceleration_rad_s2)
        reach = position + np.sign(faster) * braking
        if ((reach < limits.lower_rad) | (reach > limits.upper_rad)).any():
            break
        velocity = faster
        position = position + velocity * period
        wanted.append(position)
    assume(len(wanted) > window)
    means = [np.mean(wanted[end - window : end], axis=0) for end in range(window, len(wanted) + 1)]
    followed = drive(safety, wanted[window:])
    np.testing.assert_allclose(followed, means, rtol=0, atol=1e-8)


@given(filters(), finite(1e-6, 1.0), st.sampled_from([-1, 1]), st.one_of(references, sweeps()))
def test_a_start_outside_of_the_limits_only_moves_inward(
    safety: SafetyFilter, outside: float, side: int, wanted: list[np.ndarray]
) -> None:
    limits = safety.limits
    edge = limits.upper_rad if side > 0 else limits.lower_rad
    safety.engage(edge + side * outside)
    moved = np.diff(drive(safety, wanted), axis=0)
    positions = safety.position_rad - np.cumsum(moved[::-1], axis=0)[::-1]
    still_outside = side * (positions - edge) > 0
    assert (side * moved[still_outside] <= EXACT).all()


@given(st.integers(1, 200), finite(0.2, 1.0), finite(0.05, 0.95), st.sampled_from([-1, 1]))
def test_a_reference_that_runs_into_a_limit_at_full_speed_is_braked_before_it(
    rate_hz: int, speed: float, start: float, side: int
) -> None:
    period_s = 1.0 / (10 + 4 * rate_hz)
    one = np.ones(2)
    limits = Limits(-one, one, 3 * one, 30 * one, 60 / period_s * one, np.inf * one)
    safety = SafetyFilter(NAMES, limits, period_s)
    position = -side * start * one
    safety.engage(position)
    path = []
    while abs(position[0]) < 1.0 or side * position[0] < 0:
        position = position + side * speed * 3.0 * period_s
        path.append(position)
    path += [position] * 150
    assert_within_limits(safety, drive(safety, path))
    np.testing.assert_allclose(safety.position_rad, side * one, atol=2e-2)


@given(filters(), st.one_of(references, sweeps()))
def test_engaged_anew_in_motion_it_starts_at_rest(
    safety: SafetyFilter, wanted: list[np.ndarray]
) -> None:
    drive(safety, wanted)
    middle = (safety.limits.lower_rad + safety.limits.upper_rad) / 2
    safety.engage(middle)
    assert safety.at_rest
    assert_within_limits(safety, drive(safety, [middle, middle]))
    np.testing.assert_array_equal(safety.position_rad, middle)


@given(filters(), references, st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 1))
def test_what_is_not_finite_stops_and_moves_nothing(
    safety: SafetyFilter, wanted: list[np.ndarray], poison: float, joint: int
) -> None:
    positions = drive(safety, wanted)
    reference = safety.position_rad.copy()
    reference[joint] = poison
    verdict = safety.track(reference, 0)
    assert verdict == Stop(f"reference of {NAMES[joint]} is {poison}")
    np.testing.assert_array_equal(safety.position_rad, positions[-1])
    slowed = safety.decelerate(1)  # and the arm can still be slowed down as if nothing had come
    assert isinstance(slowed, SafeSetpoint)
    assert_within_limits(safety, np.vstack([positions, slowed.position_rad]))


@given(filters(), st.sampled_from([np.nan, np.inf]))
def test_it_engages_on_no_position_that_is_not_finite(safety: SafetyFilter, poison: float) -> None:
    safety.disengage()
    assert safety.engage(np.array([0.0, poison])) == Stop(f"measured position of b is {poison}")
    assert safety.track(np.zeros(2), 0) == Stop("the safety filter is not engaged")
    assert safety.decelerate(0) == Stop("the safety filter is not engaged")
