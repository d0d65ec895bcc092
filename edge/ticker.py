"""The clock of a fixed-rate loop: absolute ticks, a sleep, and a short spin that tunes itself.

A kernel wakes a sleeper late, by tens of microseconds and now and then by more. So the loop sleeps
to a little before its tick and spins the rest; how little is learnt from how late it is woken.
"""

from __future__ import annotations

import time

from edge.rates import NS_PER_S

IN_TIME_SHARE = 0.998  # of the wake-ups, that the slack shall cover
RISE_NS = 50_000  # on a wake-up that came later than the slack
FALL_NS = round(RISE_NS * (1 - IN_TIME_SHARE) / IN_TIME_SHARE)  # on any other
HASTE = 8  # times faster it falls before the first late wake-up
FLOOR_NS = 60_000  # a shorter spin leaves the code behind it cold and a noisy host no room


class SpinSlack:
    """How long before a tick to wake up: a high quantile of the kernel's lateness, followed online.

    Robbins and Monro's stochastic approximation (1951) of a quantile: up by ``RISE_NS`` where the
    slack was too short, down by ``FALL_NS`` where not, so that in the long run a share
    ``IN_TIME_SHARE`` of the wake-ups is in time. ``ns`` stays within ``FLOOR_NS`` and
    ``maximum_ns``, where it starts and falls in haste until it is too short for the first time; a
    maximum of 0 means never to spin.
    """

    __slots__ = ("_fall_ns", "_floor_ns", "_maximum_ns", "ns")

    def __init__(self, maximum_ns: int) -> None:
        self.ns = maximum_ns
        self._maximum_ns = maximum_ns
        self._floor_ns = min(FLOOR_NS, maximum_ns)
        self._fall_ns = HASTE * FALL_NS

    def observe(self, lateness_ns: int) -> None:
        """Learn from one wake-up that came so long after it had been asked for."""
        if lateness_ns > self.ns:
            self.ns = min(self._maximum_ns, self.ns + RISE_NS)
            self._fall_ns = FALL_NS
        else:
            self.ns = max(self._floor_ns, self.ns - self._fall_ns)


class Ticker:
    """Absolute ticks at a fixed period: ``next_ns`` is due whatever the last tick took.

    A tick whose time has passed by whole periods is skipped, never hurried after, and counted in
    ``skipped``. ``spun_ns`` is the core time spent spinning so far. ``max_spin_ns`` of 0 is the
    frugal mode: the loop sleeps to the tick itself and is as late as the kernel wakes it.
    """

    __slots__ = ("_slack", "next_ns", "period_ns", "skipped", "spun_ns")

    def __init__(self, period_ns: int, max_spin_ns: int) -> None:
        self.period_ns = period_ns
        self.skipped = 0
        self.spun_ns = 0
        self.next_ns = time.monotonic_ns() + period_ns
        self._slack = SpinSlack(max_spin_ns)

    @property
    def slack_ns(self) -> int:
        """How long before the next tick the loop wants to be woken."""
        return self._slack.ns

    def restart(self) -> None:
        """Count from now: the first tick is due in one period, and none has been skipped."""
        self.next_ns = time.monotonic_ns() + self.period_ns

    def wait(self) -> int:
        """Return at the next tick, with its due time in monotonic ns. Allocates nothing lasting."""
        now_ns = time.monotonic_ns()
        due_ns = self._next_due(now_ns)
        wake_ns = due_ns - self._slack.ns
        if wake_ns > now_ns:
            time.sleep((wake_ns - now_ns) / NS_PER_S)
            now_ns = time.monotonic_ns()
            self._slack.observe(now_ns - wake_ns)
        self.spun_ns += max(0, due_ns - now_ns)
        self.next_ns = due_ns + self.period_ns
        while time.monotonic_ns() < due_ns:  # last of all: what follows a spin runs cold
            pass
        return due_ns

    def _next_due(self, now_ns: int) -> int:
        behind_ns = now_ns - self.next_ns
        if behind_ns <= self.period_ns:
            return self.next_ns
        missed = behind_ns // self.period_ns
        self.skipped += missed
        return self.next_ns + missed * self.period_ns
