"""What a control cycle of Feetech servos costs on the wire."""

from __future__ import annotations

from firmware_bridge.feetech import codec
from firmware_bridge.feetech.bus import BITS_PER_BYTE, MOTION_LENGTH
from firmware_bridge.feetech.registers import Register
from firmware_bridge.wire_cost import WireCost


def wire_cost(ids: tuple[int, ...], baud: int) -> WireCost:
    """The cycle of ``FeetechBus`` without currents: a sync read and a sync write.

    Servos with a return delay of 0, as ``FeetechBus.open`` sets it, add nothing.
    """
    question = codec.sync_read(Register.PRESENT_POSITION, MOTION_LENGTH, ids)
    answers = len(ids) * (codec.OVERHEAD + MOTION_LENGTH)
    goals = codec.sync_write(Register.GOAL_POSITION, 2, dict.fromkeys(ids, bytes(2)))
    return WireCost(len(question), answers, len(goals), baud, BITS_PER_BYTE)
