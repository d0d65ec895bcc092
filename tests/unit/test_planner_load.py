"""The planner under full load: it plans without a pause, and ends with the measurement."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge.commands.benchmarks.planner_load import planner_load
from edge.errors import RunError
from edge.robot import PlannerRates
from tests.needs import require

SETTINGS = PlannerRates(lock_memory=False)
PATIENCE_S = 30.0


def test_the_load_goes_on_planning_while_the_body_runs(tmp_path: Path) -> None:
    require("torch")
    from tests.bundles import tiny_bundle

    loaded = tiny_bundle(tmp_path)
    with planner_load(loaded.path, SETTINGS) as load:
        before, end = load.plans, time.monotonic() + PATIENCE_S
        while load.plans < before + 10 and time.monotonic() < end:
            time.sleep(0.01)
        assert load.plans >= before + 10
    after = load.plans
    time.sleep(0.05)
    assert load.plans == after


def test_a_load_that_cannot_start_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="did not start"), planner_load(tmp_path, SETTINGS):
        raise AssertionError("it started on nothing")
