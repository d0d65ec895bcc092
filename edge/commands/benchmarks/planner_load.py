"""A planner at full load, in a process of its own: whole plans on the bundle's engine, no pause."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import RunError
from edge.rates import START_TIMEOUT_NS
from edge.robot import PlannerRates


@dataclass(frozen=True, slots=True)
class PlannerLoad:
    """The running load; ``plans`` counts its plans so far."""

    counter: Any

    @property
    def plans(self) -> int:
        """Plans made since its start."""
        return int(self.counter.value)


@contextmanager
def planner_load(path: Path, settings: PlannerRates) -> Iterator[PlannerLoad]:
    """Keep it planning while the body runs. Raises RunError if it does not start."""
    context = get_context("spawn")
    counter = context.Value(ctypes.c_longlong, 0)
    running = context.Event()
    process = context.Process(target=_plan_on, args=(path, settings, running, counter), daemon=True)
    process.start()
    try:
        _await(running, process, path)
        yield PlannerLoad(counter)
    finally:
        process.kill()
        process.join()


def _await(running: Any, process: Any, path: Path) -> None:
    give_up_ns = time.monotonic_ns() + START_TIMEOUT_NS
    while not running.wait(0.1):
        if not process.is_alive() or time.monotonic_ns() > give_up_ns:
            raise RunError(f"the planner under load did not start on bundle {path}")


def planning(path: Path, settings: PlannerRates) -> Callable[[], None]:
    """Make this process a planner; returns what makes one whole plan."""
    from edge import bundle
    from edge.engines import build_engine
    from edge.realtime import configure
    from edge.records import request_dtype
    from edge.warm_up import run_through

    loaded = bundle.load(path)
    engine = build_engine(loaded, settings.engine, settings.precision)
    features = np.zeros((), request_dtype(loaded.manifest))["features"]
    configure(settings)
    return partial(run_through, engine, features, loaded.manifest.tokenizer.tokens)


def _plan_on(path: Path, settings: PlannerRates, running: Any, counter: Any) -> None:
    plan = planning(path, settings)
    while True:
        plan()
        counter.value += 1
        running.set()
