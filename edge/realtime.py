"""Real-time set-up of a process (the clock that its loop keeps stands in ``edge.ticker``).

Everything the kernel may refuse is asked for in ``configure`` alone; a refusal is a warning, not an
error: the loop then runs with what it got, and its lateness shows the price.
"""

from __future__ import annotations

import ctypes
import gc
import os
import struct
import time
from collections.abc import Callable

from edge.rates import NS_PER_S, NS_PER_US
from edge.robot import RealTime
from firmware_bridge.timers import sharpen_timers

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4  # mlockall(2)
WAKE_LATENCY = "/dev/cpu_dma_latency"  # Linux: power/pm_qos_interface; holds while it is open


def configure(settings: RealTime) -> list[str]:
    """Ask for priority, core, wake-up latency and locked memory; freeze the garbage collector.

    Returns a warning for whatever the kernel refused.
    """
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
    if settings.wake_latency_us is not None:
        latency_us = settings.wake_latency_us
        warnings += _attempt("shallow idle states", lambda: _bound_wake_latency(latency_us))
    warnings += _attempt("exact timers", sharpen_timers)
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


def _bound_wake_latency(latency_us: int) -> None:
    """The descriptor stays open for the life of the process, and with it the request."""
    try:
        descriptor = os.open(WAKE_LATENCY, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # a kernel without idle states to choose from
    os.write(descriptor, struct.pack("=i", latency_us))


def _lock_memory() -> None:
    """Keep every page once it is touched; touching all that libraries map would double the size."""
    _call("mlockall", _MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)


def _call(name: str, *arguments: int) -> None:
    """A function of the C library that returns 0; raises OSError where it does not."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*map(ctypes.c_ulong, arguments)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def sleep_until(due_ns: int) -> None:
    """Sleep to an absolute monotonic time; returns at once when it has passed."""
    pause = due_ns - time.monotonic_ns()
    if pause > NS_PER_US:
        time.sleep(pause / NS_PER_S)
