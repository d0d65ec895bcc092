from __future__ import annotations

import numpy as np
import pytest

from edge.chunks import Chunk, Follower, Ramp, minimum_jerk, smoothstep

STEP_NS, TICK_NS = 20_000_000, 5_000_000
T0 = 1_000_000_000_000


def line(plan: int = 1, observed_ns: int = T0, offset: float = 0.0, prefix: int = 8) -> Chunk:
    """Knots of two joints at i and −i: where it is says which index is due."""
    knots = np.outer(np.arange(9.0), [1.0, -1.0]) + offset
    return Chunk(plan, observed_ns, STEP_NS, prefix, knots)


def test_action_i_is_reached_at_its_time_and_between_it_is_linear() -> None:
    chunk = line()
    for index in range(9):
        at = chunk.reference(T0 + index * STEP_NS)
        np.testing.assert_array_equal(at, [index, -index])
    np.testing.assert_allclose(chunk.reference(T0 + 3 * STEP_NS // 2), [1.5, -1.5])


def test_before_its_start_a_chunk_is_at_its_start_and_after_its_end_at_its_end() -> None:
    chunk = line()
    np.testing.assert_array_equal(chunk.reference(T0 - 1), [0.0, 0.0])
    np.testing.assert_array_equal(chunk.reference(chunk.end_ns), [8.0, -8.0])
    np.testing.assert_array_equal(chunk.reference(chunk.end_ns + 10**12), [8.0, -8.0])


def test_a_late_chunk_is_entered_in_motion_at_the_index_that_is_due_now() -> None:
    follower = Follower(blend_ns=0)
    follower.accept(line(1), T0)
    now_ns = T0 + 9 * STEP_NS
    follower.accept(line(2, T0 + 4 * STEP_NS), now_ns)
    np.testing.assert_array_equal(follower.reference(now_ns), [5.0, -5.0])


def test_from_rest_a_late_chunk_begins_at_its_start_and_so_do_its_refinements() -> None:
    follower = Follower(blend_ns=0)
    now_ns = T0 + 5 * STEP_NS
    follower.accept(line(prefix=1), now_ns)
    np.testing.assert_array_equal(follower.reference(now_ns), [0.0, 0.0])
    follower.accept(line(prefix=8), now_ns + STEP_NS)
    np.testing.assert_array_equal(follower.reference(now_ns + STEP_NS), [1.0, -1.0])
    assert follower.has_reference(now_ns + 8 * STEP_NS - 1)
    assert not follower.has_reference(now_ns + 8 * STEP_NS)
    assert follower.chunk is not None
    assert follower.chunk.observed_ns == T0


def test_a_chunk_has_a_reference_up_to_its_end_and_not_at_it() -> None:
    follower = Follower(blend_ns=0)
    assert not follower.has_reference(T0)
    follower.accept(line(), T0)
    assert follower.has_reference(T0 + 8 * STEP_NS - 1)
    assert not follower.has_reference(T0 + 8 * STEP_NS)


def test_without_a_chunk_there_is_no_reference() -> None:
    follower = Follower(blend_ns=0)
    follower.accept(line(), T0)
    follower.clear()
    with pytest.raises(RuntimeError, match="no chunk"):
        follower.reference(T0)


def test_the_seam_starts_at_the_old_chunk_and_ends_at_the_new_one() -> None:
    follower = Follower(blend_ns=4 * STEP_NS)
    old, new = line(1), line(2, T0 + 4 * STEP_NS, offset=0.7)
    follower.accept(old, T0)
    now_ns = new.observed_ns + STEP_NS
    before = follower.reference(now_ns)
    follower.accept(new, now_ns)
    np.testing.assert_array_equal(follower.reference(now_ns), before)
    end_ns = now_ns + 4 * STEP_NS
    np.testing.assert_array_equal(follower.reference(end_ns), new.reference(end_ns))


def test_within_the_seam_nothing_jumps() -> None:
    follower = Follower(blend_ns=4 * STEP_NS)
    follower.accept(line(1), T0)
    switch_ns = T0 + 4 * STEP_NS
    tick_ns = STEP_NS // 20
    path = [follower.reference(switch_ns - tick_ns)]
    follower.accept(line(2, switch_ns, offset=1.0), switch_ns)
    path += [follower.reference(switch_ns + i * tick_ns) for i in range(100)]
    steepest = 1.5 * 3.0 / 80 + 1 / 20  # smoothstep over the gap of 3, and the chunks' own slope
    assert np.abs(np.diff(path, axis=0)).max() <= steepest


def test_a_longer_decode_of_the_same_tokens_goes_on_where_the_shorter_one_was() -> None:
    follower = Follower(blend_ns=4 * STEP_NS)
    follower.accept(line(1), T0)
    follower.accept(line(2, T0 + STEP_NS, offset=1.0), T0 + STEP_NS)
    middle_ns = T0 + 3 * STEP_NS
    halfway = follower.reference(middle_ns)
    np.testing.assert_allclose(halfway, [3.0, -2.0])  # halfway from -3 to -1, the second joint
    follower.accept(line(2, T0 + STEP_NS, offset=1.0), middle_ns)
    np.testing.assert_array_equal(follower.reference(middle_ns), halfway)
    follower.accept(line(2, T0 + STEP_NS, offset=3.0), middle_ns)
    np.testing.assert_allclose(follower.reference(middle_ns), halfway + 1.0)


@pytest.mark.parametrize("plan", [2, 3])
def test_a_chunk_that_comes_while_another_fades_in_makes_no_jump(plan: int) -> None:
    follower = Follower(blend_ns=4 * STEP_NS)
    follower.accept(line(1), T0)
    follower.accept(line(2, offset=1.0, prefix=1), T0 + STEP_NS)
    middle_ns = T0 + 3 * STEP_NS
    before = follower.reference(middle_ns)
    follower.accept(line(plan, offset=-4.0, prefix=8), middle_ns)
    np.testing.assert_array_equal(follower.reference(middle_ns), before)
    end_ns = T0 + 7 * STEP_NS
    np.testing.assert_allclose(follower.reference(end_ns), line(offset=-4.0).reference(end_ns))


def test_a_late_chunk_that_would_end_first_waits_for_its_tail() -> None:
    follower = Follower(blend_ns=0)
    follower.accept(line(1), T0)
    late = Chunk(2, T0 + 2 * STEP_NS, STEP_NS, 8, line(offset=1.0).knots_rad[:5])
    now_ns = T0 + 4 * STEP_NS
    follower.accept(late, now_ns)
    assert follower.chunk is not None
    assert follower.chunk.plan == 1
    follower.accept(line(2, T0 + 2 * STEP_NS, offset=1.0), now_ns)
    assert follower.chunk.plan == 2
    assert follower.has_reference(T0 + 10 * STEP_NS - 1)


def test_a_head_takes_over_until_half_of_it_is_over() -> None:
    """Here 4 steps, which end before the followed chunk does."""
    for late_ns, taken in ((0, True), (2 * STEP_NS - 1, True), (2 * STEP_NS, False)):
        follower = Follower(blend_ns=0)
        follower.accept(line(1), T0)
        head = Chunk(2, T0 + STEP_NS, STEP_NS, 8, line().knots_rad[:5])
        follower.accept(head, head.observed_ns + late_ns)
        assert (follower.chunk is head) is taken


def test_a_chunk_that_ends_as_the_followed_one_does_takes_over() -> None:
    follower = Follower(blend_ns=0)
    follower.accept(line(1), T0)
    on_time = Chunk(2, T0 + 4 * STEP_NS - TICK_NS // 2, STEP_NS, 8, line().knots_rad[:5])
    follower.accept(on_time, T0 + 4 * STEP_NS)
    assert follower.chunk is on_time


def test_the_first_chunk_after_nothing_is_followed_at_once() -> None:
    follower = Follower(blend_ns=4 * STEP_NS)
    follower.accept(line(1), T0)
    follower.clear()
    follower.accept(line(2, offset=1.0), T0)
    np.testing.assert_array_equal(follower.reference(T0 + STEP_NS), [2.0, 0.0])


def test_a_ramp_goes_from_rest_to_rest_within_its_velocity() -> None:
    start, goal = np.array([0.0, 0.5]), np.array([1.2, 0.1])
    ramp = Ramp(start, goal, 0.8, T0)
    times_ns = T0 + np.arange(0, 4_000_000_000, 1_000_000)
    path = np.array([ramp.reference(int(t)) for t in times_ns])
    velocity = np.abs(np.diff(path, axis=0)) / 1e-3
    np.testing.assert_array_equal(path[0], start)
    np.testing.assert_allclose(path[-1], goal, atol=1e-12)
    assert velocity.max() == pytest.approx(0.8, rel=1e-3)
    assert velocity[0].max() < 1e-3
    finished = [ramp.finished(int(t)) for t in times_ns]
    assert not finished[0]
    np.testing.assert_allclose(path[finished.index(True)], goal, atol=1e-9)


def test_a_ramp_to_where_it_stands_is_finished_at_once() -> None:
    ramp = Ramp(np.zeros(2), np.zeros(2), 1.0, T0)
    np.testing.assert_array_equal(ramp.reference(T0), [0.0, 0.0])
    assert ramp.finished(T0 + 1)


def test_profiles_run_from_nought_to_one_with_level_ends() -> None:
    for profile in (minimum_jerk, smoothstep):
        assert profile(0.0) == 0.0
        assert profile(1.0) == pytest.approx(1.0)
        assert profile(0.5) == pytest.approx(0.5)
        assert abs(profile(1e-4)) < 1e-7
        assert abs(1.0 - profile(1.0 - 1e-4)) < 1e-7
