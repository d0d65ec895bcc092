"""Exact sleeps for whatever stands in for hardware, which answers when it is due."""

from __future__ import annotations

import ctypes
import os

_PR_SET_TIMERSLACK = 29  # prctl(2)
_LEAST_SLACK_NS = 1


def sharpen_timers() -> None:
    """Outside of the real-time classes the kernel else adds 50 µs of slack to every sleep.

    For the calling thread, and those that it starts. Raises OSError, or AttributeError where the C
    library has no such call.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(*map(ctypes.c_ulong, (_PR_SET_TIMERSLACK, _LEAST_SLACK_NS, 0, 0, 0))) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
