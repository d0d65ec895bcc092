from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from edge.ladder import TABLE, Event, Mode, Rung, Situation, climb

FOLLOWING = Situation(
    mode=Mode.POLICY,
    engaged=True,
    at_rest=False,
    at_home=False,
    stop="",
    has_reference=True,
    overdue=False,
    full=True,
)
MOVING = (Rung.FULL, Rung.PREFIX, Rung.TAIL)
STEPS = [
    (MOVING, {}, Rung.FULL),
    (MOVING, {"full": False}, Rung.PREFIX),
    (MOVING, {"overdue": True}, Rung.TAIL),
    (MOVING, {"has_reference": False}, Rung.DECELERATE),
    (MOVING, {"has_reference": False, "at_rest": True}, Rung.HOLD),
    (MOVING, {"stop": "why"}, Rung.DECELERATE),
    (MOVING, {"mode": Mode.HOME}, Rung.DECELERATE),
    (MOVING, {"mode": Mode.IDLE}, Rung.DECELERATE),
    (MOVING, {"mode": Mode.SHUTDOWN}, Rung.DECELERATE),
    ((Rung.DECELERATE,), {}, Rung.DECELERATE),
    ((Rung.DECELERATE,), {"mode": Mode.HOME}, Rung.DECELERATE),
    ((Rung.DECELERATE,), {"at_rest": True}, Rung.HOLD),
    ((Rung.HOLD,), {"at_rest": True}, Rung.FULL),
    ((Rung.HOLD,), {"at_rest": True, "full": False}, Rung.PREFIX),
    ((Rung.HOLD,), {"at_rest": True, "overdue": True}, Rung.HOLD),
    ((Rung.HOLD,), {"at_rest": True, "has_reference": False}, Rung.HOLD),
    ((Rung.HOLD,), {"at_rest": True, "stop": "why"}, Rung.HOLD),
    ((Rung.HOLD,), {"at_rest": True, "mode": Mode.HOME}, Rung.RAMP),
    ((Rung.RAMP,), {"mode": Mode.HOME}, Rung.RAMP),
    ((Rung.RAMP,), {"mode": Mode.HOME, "at_home": True}, Rung.DECELERATE),
    ((Rung.RAMP,), {"mode": Mode.HOME, "at_home": True, "at_rest": True}, Rung.HOLD),
    ((Rung.RAMP,), {"mode": Mode.HOME, "stop": "why"}, Rung.DECELERATE),
    ((Rung.RAMP,), {}, Rung.DECELERATE),
    ((Rung.HOLD,), {"at_rest": True, "mode": Mode.DRIVE, "has_drive": True}, Rung.DRIVE),
    ((Rung.HOLD,), {"at_rest": True, "mode": Mode.DRIVE}, Rung.HOLD),
    ((Rung.DRIVE,), {"mode": Mode.DRIVE, "has_drive": True}, Rung.DRIVE),
    ((Rung.DRIVE,), {"mode": Mode.DRIVE}, Rung.DECELERATE),
    ((Rung.DRIVE,), {"mode": Mode.DRIVE, "has_drive": True, "stop": "why"}, Rung.DECELERATE),
    ((Rung.DRIVE,), {"has_drive": True}, Rung.DECELERATE),
    (MOVING, {"mode": Mode.DRIVE, "has_drive": True}, Rung.DECELERATE),
    ((Rung.DISENGAGED,), {"at_rest": True}, Rung.HOLD),
    ((Rung.DISENGAGED,), {"engaged": False}, Rung.DISENGAGED),
]


@pytest.mark.parametrize(("rungs", "changes", "after"), STEPS)
def test_the_ladder_steps_as_this_list_says(
    rungs: tuple[Rung, ...], changes: dict[str, object], after: Rung
) -> None:
    for rung in rungs:
        assert climb(rung, replace(FOLLOWING, **changes))[0] is after


def every_step() -> list[tuple[Rung, Situation, Rung, str]]:
    steps = []
    for flags in product([False, True], repeat=6):
        engaged, at_rest, at_home, has_reference, overdue, full = flags
        for rung, mode, stop in product(Rung, Mode, ("", "why")):
            situation = Situation(
                mode, engaged, at_rest, at_home, stop, has_reference, overdue, full
            )
            steps.append((rung, situation, *climb(rung, situation)))
    return steps


def test_every_rung_meets_every_event() -> None:
    assert set(TABLE) == set(Rung)
    assert {len(row) for row in TABLE.values()} == {len(Event)}
    assert all(isinstance(after, Rung) and reason for _, _, after, reason in every_step())


def test_a_stop_never_lets_the_arm_go_on_and_is_the_reason_on_every_rung() -> None:
    for _, situation, after, reason in every_step():
        if situation.stop:
            assert after in (Rung.DECELERATE, Rung.HOLD, Rung.DISENGAGED)
            assert reason == "why"


def test_only_an_asked_for_policy_with_a_chunk_moves_the_arm_by_a_chunk() -> None:
    for _, situation, after, _ in every_step():
        if after <= Rung.TAIL:
            assert situation.engaged
            assert situation.mode is Mode.POLICY
            assert situation.has_reference


def test_what_is_not_engaged_is_disengaged_and_nothing_else_is() -> None:
    for _, situation, after, _ in every_step():
        assert (after is Rung.DISENGAGED) == (not situation.engaged)


def test_an_arm_that_slows_down_comes_to_rest_before_anything_else() -> None:
    for before, situation, after, _ in every_step():
        if before is Rung.DECELERATE and situation.engaged:
            assert after is (Rung.HOLD if situation.at_rest else Rung.DECELERATE)


def page() -> str:
    return (Path(__file__).parents[2] / "docs" / "ladder.md").read_text(encoding="utf-8")


def test_the_drawing_is_the_table_but_for_what_it_says_it_leaves_out() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+): ", page(), re.MULTILINE))
    steps = {(rung, after) for rung in Rung for after in TABLE[rung] if after is not rung}
    left_out = {step for step in steps if step[1] is Rung.DISENGAGED}
    left_out |= {(rung, TABLE[rung][Event.STANDSTILL]) for rung in (*MOVING, Rung.DRIVE)}
    assert drawn == {(rung.label, after.label) for rung, after in steps - left_out}


def test_the_drawn_table_is_the_table() -> None:
    text = page()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    assert rows[0][1:] == [event.name.lower() for event in Event]
    drawn = {row[0]: row[1:] for row in rows[1:]}
    assert drawn == {rung.label: [after.label for after in TABLE[rung]] for rung in Rung}
