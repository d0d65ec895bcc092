"""The planner in simulated time: its own code, on a clock that counts what its work really took.

The work is timed as it runs, as CPU time where an engine works in the calling thread: what other
processes take of the core is no property of a planner. Times ``slowdown``, it is what the work
would take on a device so many times slower. A chunk reaches the servo when that time is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from edge.bundle import Manifest
from edge.engines import Engine, Float32Array
from edge.engines.native.engine import NativeEngine
from edge.engines.ort import OrtEngine
from edge.latency import Samples
from edge.planner import Planner
from edge.profiling import measure
from edge.records import Channels
from edge.shared_memory import Mailbox, Record

IN_CALLING_THREAD = (NativeEngine, OrtEngine)
PROFILE_PLANS = 60

Clock = Callable[[], int]


def work_clock(engine: Engine) -> Clock:
    """What an engine's work is timed by, ns."""
    here = isinstance(engine, IN_CALLING_THREAD)
    return time.thread_time_ns if here else time.monotonic_ns


class DeviceClock:
    """Simulated time of a device that is ``slowdown`` times slower: it runs while work is done."""

    def __init__(self, work: Clock, slowdown: float) -> None:
        self._work = work
        self._slowdown = slowdown
        self.set(0)

    def set(self, now_ns: int) -> None:
        """It is ``now_ns`` now."""
        self._start_ns = now_ns
        self._origin_ns = self._work()

    def __call__(self) -> int:
        return self._start_ns + round((self._work() - self._origin_ns) * self._slowdown)


def profile_device(engine: Engine, manifest: Manifest, clock: DeviceClock) -> Samples:
    """Stage durations on the device that the clock stands for, as the planner measures them."""
    return measure(engine, manifest, PROFILE_PLANS, clock)


class FixedPlanner(Planner):
    """Always all tokens, whatever the deadline: what a policy without prefixes has to do."""

    def _generate(self) -> int:
        for index in range(self._tokens):
            self._time_token(index)
        self._decode(self._tokens)
        return self._tokens


class TaillessPlanner(FixedPlanner):
    """As ``FixedPlanner``, and a chunk ends where its successor is due: nothing is left to tide
    over a late one, so the arm stops."""

    keep: int

    def _publish(self, actions: Float32Array, prefix: int) -> bool:
        return super()._publish(actions[: self.keep], prefix)


class DelayedMailbox(Mailbox):
    """Hands over what was posted at the time it was posted at, by the poster's clock."""

    def __init__(self, path: Path, like: Mailbox, clock: Clock) -> None:
        super().__init__(path, like.dtype)
        self._clock = clock
        self._posted: list[tuple[int, Record]] = []

    def post(self, record: Record) -> None:
        """Keep a copy until ``deliver``."""
        self._posted.append((self._clock(), record.copy()))

    def deliver(self, now_ns: int) -> None:
        """Post everything up to a time, in order."""
        while self._posted and self._posted[0][0] <= now_ns:
            super().post(self._posted.pop(0)[1])


class SimulatedPlanner:
    """The planner process: takes the newest request as soon as it has finished the one before."""

    def __init__(
        self,
        planner: Planner,
        channels: Channels,
        chunks: DelayedMailbox,
        clock: DeviceClock,
        tick_ns: int,
    ) -> None:
        self._planner = planner
        self._requests = channels.request
        self._chunks = chunks
        self._clock = clock
        self._tick_ns = tick_ns
        self._free_ns = 0

    def deliver(self, now_ns: int) -> None:
        """What the servo finds in the mailbox at this tick."""
        self._chunks.deliver(now_ns)

    def work(self, now_ns: int) -> None:
        """Begin on a request in this tick, if there is one and the planner is free before it ends.

        The engine has run such a plan just before, as it has after warming up.
        """
        if self._free_ns >= now_ns + self._tick_ns:
            return
        request = self._requests.take()
        if request is None:
            return
        if int(request["plan"]):
            self._planner.warm_up.run_through()
        self._clock.set(max(now_ns, self._free_ns))
        self._planner.answer(request)
        self._free_ns = self._clock()
