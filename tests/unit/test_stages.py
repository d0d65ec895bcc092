"""A late tick names the stage that was slower than usual, not the one that is always long."""

from __future__ import annotations

import pytest

from edge.stages import Stage, StageWatch

USUAL = (20_000, 1_800_000, 400_000, 60_000)


@pytest.fixture
def watch() -> StageWatch:
    watch = StageWatch()
    for _ in range(400):
        assert watch.judge(False, *USUAL) is Stage.NONE
    return watch


@pytest.mark.parametrize("stage", [Stage.WAKE_UP, Stage.READ, Stage.DECIDE, Stage.WRITE])
def test_the_stage_that_took_longer_than_usual_is_named(watch: StageWatch, stage: Stage) -> None:
    taken = list(USUAL)
    taken[stage - 1] += 1_500_000
    assert watch.judge(True, *taken) is stage


def test_the_bus_is_not_blamed_for_being_always_the_longest(watch: StageWatch) -> None:
    assert watch.judge(True, 20_000, 1_900_000, 1_700_000, 60_000) is Stage.DECIDE


def test_the_first_tick_of_all_blames_its_longest_stage() -> None:
    assert StageWatch().judge(True, 10, 40, 30, 20) is Stage.READ


def test_late_ticks_do_not_become_the_usual(watch: StageWatch) -> None:
    for _ in range(400):
        watch.judge(True, 20_000, 1_800_000, 3_000_000, 60_000)
    assert watch.judge(True, 20_000, 2_800_000, 3_000_000, 60_000) is Stage.DECIDE


def test_every_stage_has_a_name_for_reports() -> None:
    assert [stage.label for stage in Stage] == ["none", "wake-up", "read", "decide", "write"]
