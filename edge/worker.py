"""A thread that does one piece of work at a time, and whom nobody waits for too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edge.rates import NS_PER_S

JOIN_TIMEOUT_S = 2.0

Work = Callable[[], None]


class Worker:
    """Does what it is handed, when it is idle; all methods are for the thread that hands it over.

    ``failed`` takes, in the worker's own thread, whatever a piece of work raised.
    """

    def __init__(self, name: str, failed: Callable[[Exception], None]) -> None:
        self._name = name
        self._failed = failed
        self._busy = False
        self._work: Work | None = None
        self._go, self._done = threading.Lock(), threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, work: Work) -> None:
        """Have it done. The worker must be idle."""
        if self._thread is None:  # now, so that it inherits priority and core of who begins
            self._go.acquire()
            self._done.acquire()
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._work, self._busy = work, True
        self._go.release()

    def finished(self, deadline_ns: int) -> bool:
        """Wait for the end of its work, at most so long; whether it has come."""
        if not self._busy:
            return True
        left_s = max(0, deadline_ns - time.monotonic_ns()) / NS_PER_S
        self._busy = not self._done.acquire(timeout=left_s)
        return not self._busy

    def is_at(self, work: Work) -> bool:
        """Whether it was doing this when last asked for."""
        return self._busy and self._work == work

    def end(self) -> None:
        """End the thread; one that does not come to an end in time is left behind."""
        deadline_ns = time.monotonic_ns() + round(JOIN_TIMEOUT_S * NS_PER_S)
        if self._thread is not None and self.finished(deadline_ns):
            self._work = None
            self._go.release()
            self._thread.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        while True:
            self._go.acquire()
            work = self._work
            if work is None:
                return
            try:
                work()
            except Exception as error:  # the top of a thread: its death would look like a silence
                self._failed(error)
            self._done.release()
