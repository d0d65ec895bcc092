"""A second look at readings that only an 8-bit checksum vouches for."""

from __future__ import annotations

from collections.abc import Sequence
from operator import sub

from firmware_bridge.feetech.config import TICKS_PER_TURN

MAX_SPEED_TICKS_S = 8_000  # more than twice what an STS3215 reaches at 12 V
JUMP_MARGIN_TICKS = 64
NS_PER_S = 1_000_000_000


class Plausibility:
    """Judges the readings of a bus's servos by range, speed and distance from the last good one.

    A reading that jumps is refused once; if the next one confirms it, it was true (the servo had
    been out of sight, or was turned by hand). Servos are named by their place in the bus.
    """

    def __init__(self, servos: int) -> None:
        self.refused = 0
        self._ticks: list[int | None] = [None] * servos  # of the last good reading
        self._then_ns = [0] * servos
        self._doubtful: list[int | None] = [None] * servos

    def accepts_all(self, ticks: Sequence[int], ticks_per_s: Sequence[int], now_ns: int) -> bool:
        """Take one reading of every servo at once; False takes none, and says nothing of each."""
        last = self._ticks
        if min(ticks) < 0 or max(ticks) >= TICKS_PER_TURN or None in last:
            return False
        if max(ticks_per_s) > MAX_SPEED_TICKS_S or min(ticks_per_s) < -MAX_SPEED_TICKS_S:
            return False
        reach = _reach(now_ns - max(self._then_ns))
        moved = list(map(sub, ticks, last))
        if max(moved) > reach or min(moved) < -reach:
            return False
        self._ticks = list(ticks)
        self._then_ns = [now_ns] * len(last)
        self._doubtful = [None] * len(last)
        return True

    def accepts(self, servo: int, ticks: int, ticks_per_s: int, now_ns: int) -> bool:
        """Tell whether a reading taken at ``now_ns`` can be true."""
        if not 0 <= ticks < TICKS_PER_TURN or abs(ticks_per_s) > MAX_SPEED_TICKS_S:
            self.refused += 1
            return False
        if self._jumps(servo, ticks, now_ns) and not self._confirms(servo, ticks):
            self._doubtful[servo] = ticks
            self.refused += 1
            return False
        self._ticks[servo], self._then_ns[servo] = ticks, now_ns
        self._doubtful[servo] = None
        return True

    def _jumps(self, servo: int, ticks: int, now_ns: int) -> bool:
        last = self._ticks[servo]
        return last is not None and _distance(ticks, last) > _reach(now_ns - self._then_ns[servo])

    def _confirms(self, servo: int, ticks: int) -> bool:
        doubtful = self._doubtful[servo]
        return doubtful is not None and _distance(ticks, doubtful) <= JUMP_MARGIN_TICKS


def _reach(elapsed_ns: int) -> float:
    """How far a servo can have come."""
    return MAX_SPEED_TICKS_S * elapsed_ns / NS_PER_S + JUMP_MARGIN_TICKS


def _distance(a: int, b: int) -> int:
    """Ticks between two positions, the short way round."""
    across = abs(a - b)
    return min(across, TICKS_PER_TURN - across)
