"""When each setpoint is to be reached: an even grid over the host's uneven ticks."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from firmware_bridge.oatlink.units import Int16Array

MAX_GAP_NS = 65_535_000  # the wire's longest time between two knots


class Knot(NamedTuple):
    """Angles (wire units, shape (joints,)) and the monotonic time at which they are due."""

    time_ns: int
    angles: Int16Array


class KnotSchedule:
    """Keeps the newest ``knots`` setpoints with their times.

    A setpoint is due ``lead_ns`` after its tick, moved to a whole number of periods after the one
    before: a tick that came 1 ms late must not look like a joint that went faster. After a gap the
    grid starts anew.
    """

    def __init__(self, period_ns: int, lead_ns: int, knots: int) -> None:
        self._period_ns = period_ns
        self._lead_ns = lead_ns
        self._knots: deque[Knot] = deque(maxlen=knots)

    def reset(self) -> None:
        """Forget everything sent so far."""
        self._knots.clear()

    def add(self, stamp_ns: int, angles: Int16Array) -> list[Knot]:
        """Place one setpoint; returns the knots to send, oldest first."""
        wanted_ns = stamp_ns + self._lead_ns
        if self._knots:
            last_ns = self._knots[-1].time_ns
            periods = max(1, round((wanted_ns - last_ns) / self._period_ns))
            if periods * self._period_ns > min(self._lead_ns, MAX_GAP_NS):
                self._knots.clear()  # by now the last one has been reached and the arm brakes
            else:
                wanted_ns = last_ns + periods * self._period_ns
        self._knots.append(Knot(wanted_ns, angles))
        return list(self._knots)
