"""The answers to a sync read as an undisturbed line brings them: all at once, taken apart at once.

It gives up on anything out of the ordinary, and the packet parser goes through it byte by byte.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from firmware_bridge.feetech.codec import HEADER, OVERHEAD
from firmware_bridge.feetech.registers import Register

WHOLE_LENGTH = 15  # position to current
SIGN = 0x8000
_CURRENT_GAP = Register.PRESENT_CURRENT - Register.PRESENT_POSITION - 4


class Readings(NamedTuple):
    """Of all servos in order: ticks, ticks per second, and current in units (empty: not asked)."""

    ticks: tuple[int, ...]
    ticks_per_s: tuple[int, ...]
    current: tuple[float, ...]


class WholeAnswer:
    """For servos ``ids`` that are asked for ``length`` bytes from the present position on."""

    def __init__(self, ids: tuple[int, ...], length: int) -> None:
        self._size = OVERHEAD + length
        self._with_current = length == WHOLE_LENGTH
        count = len(ids)
        heads = (HEADER[:1], HEADER[1:], b"", bytes((length + 2,)), b"\0")  # b"\0": no complaint
        self._heads = [head * count for head in heads]
        self._heads[2] = bytes(ids)
        self._bodies = [
            slice(at + 2, at + self._size) for at in range(0, count * self._size, self._size)
        ]
        rest = f"{_CURRENT_GAP}xH" if self._with_current else f"{length - 4}x"
        self._layout = struct.Struct("<" + f"5xHH{rest}x" * count)

    def readings(self, data: bytes) -> Readings | None:
        """What all servos measure, or None unless ``data`` is exactly their flawless answers."""
        if len(data) != self._layout.size:
            return None
        size = self._size
        for column, head in enumerate(self._heads):
            if data[column::size] != head:
                return None
        for body in self._bodies:  # the check sum is the complement of the rest
            if sum(data[body]) & 0xFF != 0xFF:
                return None
        values = self._layout.unpack(data)
        step = 3 if self._with_current else 2
        current = _signed(values[2::3]) if self._with_current else ()
        return Readings(_signed(values[::step]), _signed(values[1::step]), current)


def _signed(raw: tuple[int, ...]) -> tuple[int, ...]:
    """Sign and magnitude, where any is negative."""
    return raw if max(raw) < SIGN else tuple([v if v < SIGN else SIGN - v for v in raw])
