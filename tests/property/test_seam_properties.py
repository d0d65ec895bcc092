"""Seams: whatever chunks come and whenever, the reference is continuous and the command limited."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.chunks import Chunk, Follower
from edge.safety import Limits, SafetyFilter
from firmware_bridge.messages import SafeSetpoint
from tests.property.test_safety_properties import assert_within_limits, finite

STEP_NS, TICK_NS = 20_000_000, 5_000_000
ACTIONS = 8
LIMITS = Limits(
    lower_rad=np.full(2, -1.5),
    upper_rad=np.full(2, 1.5),
    velocity_rad_s=np.array([3.0, 2.0]),
    acceleration_rad_s2=np.array([30.0, 20.0]),
    jerk_rad_s3=np.array([3000.0, 1500.0]),
    tracking_error_rad=np.full(2, np.inf),
)


@st.composite
def arrivals(draw: st.DrawFn) -> list[tuple[int, Chunk]]:
    """Chunks by the tick on which they come: of new plans, refined, shortened, early and late."""
    found, tick, plan = [], 0, 0
    for _ in range(draw(st.integers(2, 8))):
        tick += draw(st.integers(1, 25))
        plan += draw(st.integers(0, 1)) if plan else 1
        observed_ns = (tick - draw(st.integers(0, 30))) * TICK_NS
        knots = np.array(draw(st.lists(finite(-1.4, 1.4), min_size=9, max_size=9)))
        valid = draw(st.sampled_from([ACTIONS // 2, ACTIONS]))
        path = np.column_stack([knots, -knots])[: 1 + valid]
        prefix = draw(st.sampled_from([1, 8]))
        found.append((tick, Chunk(plan, observed_ns, STEP_NS, prefix, path)))
    return found


def is_longer_decode(followed: Chunk | None, chunk: Chunk) -> bool:
    """Of the same tokens: in truth it says the same, what is drawn here does not."""
    return followed is not None and (followed.plan, followed.prefix) == (chunk.plan, chunk.prefix)


@settings(max_examples=150)
@given(arrivals(), st.integers(1, 8))
def test_taking_over_never_makes_the_reference_jump(
    coming: list[tuple[int, Chunk]], blend_steps: int
) -> None:
    follower = Follower(blend_steps * STEP_NS)
    for tick, chunk in coming:
        now_ns = tick * TICK_NS
        if is_longer_decode(follower.chunk, chunk):
            continue
        before = None if follower.chunk is None else follower.reference(now_ns)
        follower.accept(chunk, now_ns)
        if before is None:
            before = chunk.knots_rad[0]  # from rest: where the plan was asked for
        np.testing.assert_allclose(follower.reference(now_ns), before, atol=1e-12)


@settings(max_examples=150)
@given(arrivals(), st.integers(1, 8))
def test_the_reference_moves_no_faster_than_its_chunks_and_their_fades(
    coming: list[tuple[int, Chunk]], blend_steps: int
) -> None:
    """Knots at most 2.8 rad apart and fades across at most 2.8 rad: a bound on every slope."""
    follower = Follower(blend_steps * STEP_NS)
    span = 2.8
    steepest = span / STEP_NS + len(coming) * 1.5 * span / (blend_steps * STEP_NS)
    by_tick = dict(coming)
    last = None
    for tick in range(coming[-1][0] + 60):
        chunk = by_tick.get(tick)
        if chunk is not None and not is_longer_decode(follower.chunk, chunk):
            follower.accept(chunk, tick * TICK_NS)
        if follower.chunk is None:
            continue
        reference = follower.reference(tick * TICK_NS)
        if last is not None:
            assert np.abs(reference - last).max() <= steepest * TICK_NS + 1e-9
        last = reference


@settings(max_examples=100)
@given(arrivals(), st.integers(0, 8))
def test_no_seam_takes_the_command_over_a_limit(
    coming: list[tuple[int, Chunk]], blend_steps: int
) -> None:
    follower = Follower(blend_steps * STEP_NS)
    safety = SafetyFilter(("a", "b"), LIMITS, TICK_NS / 1e9)
    safety.engage(coming[0][1].knots_rad[0])
    by_tick = dict(coming)
    path = [safety.position_rad.copy()]
    for tick in range(coming[-1][0] + 60):
        if tick in by_tick:
            follower.accept(by_tick[tick], tick * TICK_NS)
        following = follower.chunk is not None
        ahead_ns = tick * TICK_NS + safety.delay_ns
        verdict = (
            safety.track(follower.reference(ahead_ns), tick) if following else safety.decelerate(0)
        )
        assert isinstance(verdict, SafeSetpoint)
        path.append(verdict.position_rad)
    assert_within_limits(safety, np.array(path))
