"""Load beside a measurement: processes of their own, ended when the measurement ends.

none       nothing
cpu        one busy loop for every core
memory     one process for every core streaming through more memory than the caches hold
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context

import numpy as np

STREAM_BYTES = 64 << 20


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


_EVERYWHERE: dict[str, Callable[[int], None]] = {"cpu": _burn, "memory": _stream}
KINDS = ("none", *_EVERYWHERE)


@contextmanager
def stress(kind: str) -> Iterator[None]:
    """Keep the named load, one of KINDS, on while the body runs."""
    context = get_context("spawn")
    body, cores = _EVERYWHERE.get(kind), range(os.cpu_count() or 1)
    bodies = [] if body is None else [(body, core) for core in cores]
    processes = [context.Process(target=body, args=(core,), daemon=True) for body, core in bodies]
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
