from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.chunks import Chunk
from edge.requests import NOTICE_NS
from edge.safety import Stop
from tests.edge_desk import BUDGET_NS, START, T0, Desk
from tests.edge_parts import POSE_KEY, STEP_NS, TICK_NS


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path) as made:
        made.observe()
        yield made


def test_a_request_carries_the_observation_and_its_deadline_and_rings(desk: Desk) -> None:
    request = desk.ask()
    assert int(request["observed_ns"]) == desk.now_ns
    assert int(request["deadline_ns"]) == desk.now_ns + BUDGET_NS
    np.testing.assert_array_equal(request["features"]["observation.command"], [START, START])
    assert os.read(desk.bell.descriptor, 1)


def test_an_answer_becomes_a_motion_that_starts_at_the_command_of_its_request(desk: Desk) -> None:
    request = desk.ask()
    desk.answer(request, prefix=2, valid=4)
    chunk = desk.requests.answer(desk.now_ns)
    assert isinstance(chunk, Chunk)
    assert (chunk.plan, chunk.prefix, chunk.step_ns) == (int(request["plan"]), 2, STEP_NS)
    np.testing.assert_array_equal(chunk.knots_rad[0], START)
    np.testing.assert_array_equal(chunk.knots_rad[1:], [[1, 1], [2, 2], [3, 3], [4, 4]])
    assert desk.requests.answer(desk.now_ns) is None  # and it counts once


def test_a_refinement_of_the_same_plan_counts_too(desk: Desk) -> None:
    request = desk.ask()
    for prefix in (1, 4):
        desk.answer(request, prefix=prefix)
        chunk = desk.requests.answer(desk.now_ns)
        assert chunk is not None
        assert chunk.prefix == prefix
        np.testing.assert_array_equal(chunk.knots_rad[0], START)


def test_after_motion_stopped_no_earlier_plan_counts(desk: Desk) -> None:
    request = desk.ask()
    desk.requests.void()
    desk.answer(request)
    assert desk.requests.answer(desk.now_ns) is None
    assert not desk.requests.overdue(desk.now_ns + 10 * BUDGET_NS)
    later = desk.ask()
    assert int(later["epoch"]) > int(request["epoch"])
    desk.answer(later)
    assert desk.requests.answer(desk.now_ns) is not None


def test_a_stale_chunk_is_never_followed(desk: Desk) -> None:
    request = desk.ask()
    desk.answer(request, valid=4)
    end_ns = int(request["observed_ns"]) + 4 * STEP_NS
    assert desk.requests.answer(end_ns) is None
    again = desk.ask()
    desk.answer(again, valid=4)
    assert desk.requests.answer(int(again["observed_ns"]) + 4 * STEP_NS - 1) is not None


def test_an_answer_to_a_plan_that_was_never_asked_for_is_nothing(desk: Desk) -> None:
    request = desk.ask()
    request["plan"] += 1
    desk.answer(request)
    assert desk.requests.answer(desk.now_ns) is None


def test_an_answer_of_another_epoch_is_nothing(desk: Desk) -> None:
    request = desk.ask()
    request["epoch"] += 1
    desk.answer(request)
    assert desk.requests.answer(desk.now_ns) is None


def test_an_older_plan_never_replaces_a_newer_one(desk: Desk) -> None:
    old, new = desk.ask(), desk.ask()
    desk.answer(new)
    assert desk.requests.answer(desk.now_ns) is not None
    desk.answer(old)
    assert desk.requests.answer(desk.now_ns) is None


def test_a_plan_is_overdue_from_just_after_its_deadline_until_it_is_answered(desk: Desk) -> None:
    assert not desk.requests.overdue(desk.now_ns)
    request = desk.ask()
    deadline_ns = int(request["deadline_ns"])
    assert not desk.requests.overdue(deadline_ns)
    assert desk.requests.overdue(deadline_ns + 1)
    desk.answer(request)
    desk.requests.answer(deadline_ns + 1)
    assert not desk.requests.overdue(deadline_ns + 1)


def test_an_unanswered_plan_is_asked_for_anew_a_policy_step_after_its_deadline(
    desk: Desk,
) -> None:
    request = desk.ask()
    again_ns = int(request["deadline_ns"]) + STEP_NS
    assert not desk.requests.due(None, again_ns - 1)
    assert desk.requests.due(None, again_ns)


def test_to_ask_anew_makes_nothing_less_overdue(desk: Desk) -> None:
    desk.ask()
    desk.observe(1 + (BUDGET_NS + STEP_NS) // TICK_NS)
    second = desk.ask()
    assert int(second["deadline_ns"]) > desk.now_ns
    assert desk.requests.overdue(desk.now_ns)
    desk.answer(second)
    desk.requests.answer(desk.now_ns)
    assert not desk.requests.overdue(desk.now_ns)


def test_the_answer_to_the_first_of_two_requests_leaves_the_second_overdue(desk: Desk) -> None:
    first = desk.ask()
    desk.observe(6)
    second = desk.ask()
    desk.answer(first)
    assert desk.requests.answer(desk.now_ns) is not None
    assert desk.requests.overdue(int(second["deadline_ns"]) + 1)


def test_once_motion_has_begun_plans_asked_for_at_standstill_do_not_count(desk: Desk) -> None:
    first = desk.ask()
    desk.observe(6)
    second = desk.ask()
    desk.answer(first)
    begun = desk.requests.answer(desk.now_ns)
    assert begun is not None
    desk.requests.begin(begun.plan)
    assert not desk.requests.overdue(int(second["deadline_ns"]) + 1)
    desk.answer(second)
    assert desk.requests.answer(desk.now_ns) is None
    desk.answer(first, prefix=2)
    assert desk.requests.answer(desk.now_ns) is not None


def test_the_next_plan_is_due_at_the_tick_nearest_to_the_end_of_the_executed_part(
    desk: Desk,
) -> None:
    chunk = Chunk(1, T0, STEP_NS, 4, np.zeros((9, 2)))
    due_ns = T0 + 4 * STEP_NS
    assert not desk.requests.due(chunk, due_ns - TICK_NS // 2 - 1)
    assert desk.requests.due(chunk, due_ns - TICK_NS // 2)


def test_a_first_request_is_announced_and_comes_when_it_was_announced(desk: Desk) -> None:
    desk.requests.announce(desk.now_ns)
    notice = desk.posted.take()
    assert notice is not None
    assert int(notice["plan"]) == 0
    first_ns = int(notice["observed_ns"])
    assert first_ns == desk.now_ns + NOTICE_NS
    assert not desk.requests.due(None, first_ns - 1)
    assert desk.requests.due(None, first_ns)


def test_what_is_not_finite_is_never_planned_from(desk: Desk) -> None:
    desk.observe(1, pose=np.nan)
    stop = desk.requests.ask(desk.sensing, START, desk.now_ns)
    assert stop == Stop(f"{POSE_KEY}[1][0] is nan")
    assert desk.posted.take() is None


def test_without_a_whole_history_nothing_is_asked(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        desk.observe(4)
        assert isinstance(desk.requests.ask(desk.sensing, START, desk.now_ns), Stop)
        desk.observe(1)
        assert desk.requests.ask(desk.sensing, START, desk.now_ns) is None


def test_a_planner_that_never_answers_costs_no_memory(desk: Desk) -> None:
    asked = []
    while len(asked) < 60:
        desk.observe(1)
        if desk.requests.due(None, desk.now_ns):
            asked.append(desk.ask())
    open_plans = 8 * STEP_NS // (BUDGET_NS + STEP_NS) + 1
    assert len(desk.requests._starts) <= open_plans
    desk.answer(asked[1 - open_plans])  # yet one whose horizon is not over still counts
    assert desk.requests.answer(desk.now_ns) is not None


@pytest.mark.parametrize("offset_ns", [0, TICK_NS // 3, TICK_NS - 1])
def test_the_planner_is_told_at_which_tick_it_will_be_asked_next(
    desk: Desk, offset_ns: int
) -> None:
    request = desk.ask()
    os.read(desk.bell.descriptor, 8)
    desk.answer(request)
    chunk = desk.requests.answer(desk.now_ns)
    assert chunk is not None
    now_ns = desk.now_ns + offset_ns
    desk.requests.announce_next(chunk, now_ns)
    assert os.read(desk.bell.descriptor, 1)
    notice = desk.posted.take()
    assert notice is not None
    assert int(notice["plan"]) == 0
    ticks, rest = divmod(int(notice["observed_ns"]) - now_ns, TICK_NS)
    assert rest == 0
    assert desk.requests.due(chunk, now_ns + ticks * TICK_NS)
    assert not desk.requests.due(chunk, now_ns + (ticks - 1) * TICK_NS)


def test_a_notice_never_takes_the_place_of_an_open_request(desk: Desk) -> None:
    first = desk.ask()
    desk.now_ns += 2 * BUDGET_NS + STEP_NS
    desk.observe()
    second = desk.ask()
    desk.answer(first)
    chunk = desk.requests.answer(desk.now_ns)
    assert chunk is not None
    desk.requests.announce_next(chunk, desk.now_ns)
    assert desk.posted.take() is None
    assert int(second["plan"]) == int(first["plan"]) + 1
