"""A planner that fails, and is started again each time, as the supervisor does.

crash    ends by SIGKILL after a few plans
hang     takes its core at the planner's priority and never plans
memory   touches new memory until its limit is reached, and ends
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from edge.commands.benchmarks.planner_load import planning
from edge.errors import RunError
from edge.rates import NS_PER_S, START_TIMEOUT_NS
from edge.realtime import configure
from edge.robot import PlannerRates

PLANS_BEFORE_CRASH = 20
MEMORY_LIMIT_BYTES = 512 << 20
BLOCK_BYTES = 16 << 20
_PR_SET_PDEATHSIG = 1  # prctl(2)

Body = Callable[[Path, PlannerRates, Any], None]


@dataclass
class FaultyPlanner:
    """The failing planner; ``deaths``: how often it has ended so far."""

    deaths: int = 0


@contextmanager
def faulty_planner(kind: str, path: Path, settings: PlannerRates) -> Iterator[FaultyPlanner]:
    """Keep it failing, one of FAULTS, while the body runs. Raises RunError if it does not start."""
    context = get_context("spawn")
    running, faulty, over = context.Event(), FaultyPlanner(), threading.Event()
    current: list[Any] = []

    def keep_going() -> None:
        while not over.is_set():
            target, arguments = FAULTS[kind], (path, settings, running)
            process = context.Process(target=_fail, args=(target, *arguments), daemon=True)
            process.start()
            current[:] = [process]
            process.join()
            faulty.deaths += 1

    keeper = threading.Thread(target=keep_going, daemon=True)
    keeper.start()
    try:
        if not running.wait(START_TIMEOUT_NS / NS_PER_S):
            raise RunError(f"the failing planner did not start on bundle {path}")
        yield faulty
    finally:
        over.set()
        while keeper.is_alive():
            for process in current:
                process.kill()
            keeper.join(0.1)


def _fail(body: Body, path: Path, settings: PlannerRates, running: Any) -> None:
    """The body, in a process that does not outlive its parent: it may hold a core for itself."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    body(path, settings, running)


def _crash(path: Path, settings: PlannerRates, running: Any) -> None:
    plan = planning(path, settings)
    for _ in range(PLANS_BEFORE_CRASH):
        plan()
        running.set()
    os.kill(os.getpid(), signal.SIGKILL)


def _hang(path: Path, settings: PlannerRates, running: Any) -> None:
    configure(settings)
    running.set()
    while True:
        pass


def _exhaust(path: Path, settings: PlannerRates, running: Any) -> None:
    configure(settings)
    running.set()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    blocks = []
    try:
        while True:
            blocks.append(np.ones(BLOCK_BYTES, np.uint8))
    except MemoryError:
        os._exit(1)


FAULTS: dict[str, Body] = {"crash": _crash, "hang": _hang, "memory": _exhaust}
