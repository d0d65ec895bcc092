"""The planner that fails: it does so again and again, and is gone with the measurement."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from edge.commands.benchmarks.planner_faults import FAULTS, faulty_planner
from edge.robot import PlannerRates

ORDINARY = PlannerRates(lock_memory=False, priority=None)
PATIENCE_S = 30.0


@pytest.mark.parametrize("kind", ["memory", "hang"])
def test_a_failing_planner_is_gone_with_the_measurement(kind: str, tmp_path: Path) -> None:
    before = multiprocessing.active_children()
    with faulty_planner(kind, tmp_path, ORDINARY) as faulty:
        end = time.monotonic() + PATIENCE_S
        while kind == "memory" and faulty.deaths < 2 and time.monotonic() < end:
            time.sleep(0.05)
        assert faulty.deaths >= (2 if kind == "memory" else 0)
    assert set(multiprocessing.active_children()) <= set(before)


def test_every_fault_has_a_name_that_the_benchmark_takes() -> None:
    from edge.commands.benchmarks.loop import STRESSES

    assert set(FAULTS) < set(STRESSES)
