"""Real-time set-up of a process, and the clock that a fixed-rate loop keeps.

Everything the kernel may refuse is asked for in ``configure`` alone; a refusal is a warning, not an
error: the loop then runs with what it got, and its lateness shows the price.
"""

from __future__ import annotations

import ctypes
import gc
import os
import time
from collections.abc import Callable

from edge.rates import NS_PER_S, NS_PER_US
from edge.robot import RealTime

_MCL_CURRENT_AND_FUTURE = 1 | 2  # mlockall(2)


def configure(settings: RealTime) -> list[str]:
    """Ask for priority, core and locked memory; freeze the garbage collector. Returns warnings."""
    warnings = []
    if settings.core is not None:
        cores = {settings.core}
        warnings += _attempt("cpu affinity", lambda: os.sched_setaffinity(0, cores))
    if settings.priority is not None:
        parameters = os.sched_param(settings.priority)
        warnings += _attempt(
            f"SCHED_FIFO priority {settings.priority}",
            lambda: os.sched_setscheduler(0, os.SCHED_FIFO, parameters),
        )
    if settings.lock_memory:
        warnings += _attempt("locked memory", _lock_memory)
    gc.collect()
    gc.freeze()
    gc.disable()
    return warnings


def _attempt(what: str, action: Callable[[], None]) -> list[str]:
    try:
        action()
    except (OSError, AttributeError) as error:
        return [f"no {what}: {error}; timing will be worse"]
    return []


def _lock_memory() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT_AND_FUTURE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Ticker:
    """Absolute ticks at a fixed period: ``next_ns`` is due whatever the last tick took.

    ``wait`` sleeps until ``spin_ns`` before the tick and spins the rest. A tick whose time has
    passed by whole periods is skipped, never hurried after, and counted in ``skipped``.
    """

    def __init__(self, period_ns: int, spin_ns: int) -> None:
        self.period_ns = period_ns
        self.skipped = 0
        self.next_ns = time.monotonic_ns() + period_ns
        self._spin_ns = spin_ns

    def wait(self) -> int:
        """Return at the next tick, with its due time in monotonic ns."""
        now = time.monotonic_ns()
        behind = now - self.next_ns
        if behind > self.period_ns:
            missed = behind // self.period_ns
            self.skipped += missed
            self.next_ns += missed * self.period_ns
        due = self.next_ns
        pause = due - self._spin_ns - now
        if pause > 0:
            time.sleep(pause / NS_PER_S)
        while time.monotonic_ns() < due:
            pass
        self.next_ns = due + self.period_ns
        return due


def sleep_until(due_ns: int) -> None:
    """Sleep to an absolute monotonic time; returns at once when it has passed."""
    pause = due_ns - time.monotonic_ns()
    if pause > NS_PER_US:
        time.sleep(pause / NS_PER_S)
