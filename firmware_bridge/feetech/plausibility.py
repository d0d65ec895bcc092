"""A second look at readings that only an 8-bit checksum vouches for."""

from __future__ import annotations

from firmware_bridge.feetech.config import TICKS_PER_TURN

MAX_SPEED_TICKS_S = 8_000  # more than twice what an STS3215 reaches at 12 V
JUMP_MARGIN_TICKS = 64
NS_PER_S = 1_000_000_000


class PlausibilityFilter:
    """Judges one servo's readings by range, speed and distance from the last good one.

    A reading that jumps is refused once; if the next one confirms it, it was true (the servo had
    been out of sight, or was turned by hand).
    """

    def __init__(self) -> None:
        self.refused = 0
        self._last: tuple[int, int] | None = None  # ticks, time of the last good one
        self._doubtful: int | None = None

    def accepts(self, ticks: int, ticks_per_s: int, now_ns: int) -> bool:
        """Tell whether a reading taken at ``now_ns`` can be true."""
        if not 0 <= ticks < TICKS_PER_TURN or abs(ticks_per_s) > MAX_SPEED_TICKS_S:
            self.refused += 1
            return False
        if self._jumps(ticks, now_ns) and not self._confirms(ticks):
            self._doubtful = ticks
            self.refused += 1
            return False
        self._last, self._doubtful = (ticks, now_ns), None
        return True

    def _jumps(self, ticks: int, now_ns: int) -> bool:
        if self._last is None:
            return False
        last, then_ns = self._last
        reach = MAX_SPEED_TICKS_S * (now_ns - then_ns) / NS_PER_S + JUMP_MARGIN_TICKS
        return _distance(ticks, last) > reach

    def _confirms(self, ticks: int) -> bool:
        return self._doubtful is not None and _distance(ticks, self._doubtful) <= JUMP_MARGIN_TICKS


def _distance(a: int, b: int) -> int:
    """Ticks between two positions, the short way round."""
    across = abs(a - b)
    return min(across, TICKS_PER_TURN - across)
