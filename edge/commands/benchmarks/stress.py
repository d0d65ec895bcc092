"""Load beside a measurement: processes of their own, ended when the measurement ends.

none       nothing
cpu        one busy loop for every core
memory     one process for every core streaming through more memory than the caches hold
throttle   a real-time process takes the measured core half of the time, in slices far shorter
           than a plan: to the measured process it looks like a core at half its clock
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context

import numpy as np

from edge.errors import UsageError

SLICE_NS = 100_000
STREAM_BYTES = 64 << 20
THROTTLE_PRIORITY = 90


def _become_ordinary(core: int) -> None:
    """Shed what is inherited from a measured process: its priority and its core."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.sched_setaffinity(0, {core})


def _burn(core: int) -> None:
    _become_ordinary(core)
    while True:
        sum(range(10_000))


def _stream(core: int) -> None:
    _become_ordinary(core)
    source = np.ones(STREAM_BYTES, np.uint8)
    target = np.empty_like(source)
    while True:
        np.copyto(target, source)


def _steal(core: int) -> None:
    """Half of a core, in slices: what a halved clock takes from everybody else on it."""
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(THROTTLE_PRIORITY))
    while True:
        end_ns = time.monotonic_ns() + SLICE_NS
        while time.monotonic_ns() < end_ns:
            pass
        time.sleep(SLICE_NS / 1e9)


_EVERYWHERE: dict[str, Callable[[int], None]] = {"cpu": _burn, "memory": _stream}
KINDS = ("none", *_EVERYWHERE, "throttle")


@contextmanager
def stress(kind: str, measured_core: int) -> Iterator[None]:
    """Keep the named load on while the body runs. Raises UsageError for an unknown kind."""
    if kind not in KINDS:
        raise UsageError(f"--stress is {kind!r}, allowed are {', '.join(KINDS)}")
    context = get_context("spawn")
    body = _steal if kind == "throttle" else _EVERYWHERE.get(kind)
    cores = {measured_core} if kind == "throttle" else set(range(os.cpu_count() or 1))
    targets = [(body, core) for core in cores if body is not None]
    processes = [context.Process(target=body, args=(core,), daemon=True) for body, core in targets]
    for process in processes:
        process.start()
    try:
        if processes:
            time.sleep(0.5)  # until they have started and run
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()
