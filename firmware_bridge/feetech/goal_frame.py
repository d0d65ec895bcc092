"""The sync write of all goal positions, built once; a cycle only fills in numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from firmware_bridge.feetech import codec
from firmware_bridge.feetech.registers import Register

_BLOCKS_AT = 7  # after header, id, length, instruction, address and data length
_BLOCK = np.dtype([("id", "u1"), ("goal", "<u2")])


class GoalFrame:
    """One goal of 2 bytes for each servo, in the order of ``ids``."""

    def __init__(self, ids: tuple[int, ...]) -> None:
        blank = codec.sync_write(Register.GOAL_POSITION, 2, dict.fromkeys(ids, bytes(2)))
        self._frame = bytearray(blank)
        self._goals = np.frombuffer(self._frame, _BLOCK, len(ids), _BLOCKS_AT)["goal"]

    def encode(self, goal_ticks: npt.NDArray[np.uint16]) -> bytes:
        """The frame for goals of shape (joints,)."""
        self._goals[:] = goal_ticks
        self._frame[-1] = ~sum(self._frame[2:-1]) & 0xFF
        return bytes(self._frame)
