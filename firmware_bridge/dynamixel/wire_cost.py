"""What a control cycle of Dynamixel servos costs on the wire."""

from __future__ import annotations

from firmware_bridge.dynamixel.bus import BITS_PER_BYTE
from firmware_bridge.dynamixel.codec import sync_write
from firmware_bridge.dynamixel.cycle import GOAL_LENGTH, StateQuestion
from firmware_bridge.dynamixel.registers import Register
from firmware_bridge.wire_cost import WireCost


def wire_cost(ids: tuple[int, ...], baud: int, fast_sync: bool) -> WireCost:
    """The cycle of ``DynamixelBus``: a (fast) sync read and a sync write, without stuffing.

    Servos with a return delay of 0, as ``DynamixelBus.open`` sets it, add nothing.
    """
    question = StateQuestion(ids, fast_sync)
    goals = sync_write(Register.GOAL_POSITION, GOAL_LENGTH, dict.fromkeys(ids, bytes(GOAL_LENGTH)))
    return WireCost(len(question.frame), question.answer_length, len(goals), baud, BITS_PER_BYTE)
