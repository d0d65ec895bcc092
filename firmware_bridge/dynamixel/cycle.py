"""The two frames of a control cycle, built once; a cycle only fills in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from fastcrc.crc16 import umts as crc16_umts

from firmware_bridge.dynamixel import codec
from firmware_bridge.dynamixel.codec import CRC_LENGTH, STUFF_MARK, Status
from firmware_bridge.dynamixel.parser import PacketParser
from firmware_bridge.dynamixel.registers import Register
from firmware_bridge.dynamixel.units import Int32Array

STATE_REGISTER = Register.PRESENT_CURRENT
STATE_LAYOUT = np.dtype([("current", "<i2"), ("velocity", "<i4"), ("position", "<i4")])
STATE_LENGTH = STATE_LAYOUT.itemsize
GOAL_LENGTH = 4
_BLOCK = np.dtype([("head", "V2"), *STATE_LAYOUT.descr, ("crc", "V2")])  # of a fast answer
StateArray = npt.NDArray[Any]  # of STATE_LAYOUT
_SYNC_WRITE_BLOCKS = codec.BODY_OFFSET + 1 + 4  # after the instruction, the address and the length


class GoalFrame:
    """The sync write of all goal positions."""

    def __init__(self, ids: tuple[int, ...]) -> None:
        self._ids = ids
        zeros = dict.fromkeys(ids, bytes(GOAL_LENGTH))
        frame = codec.sync_write(Register.GOAL_POSITION, GOAL_LENGTH, zeros)
        self._body = bytearray(frame[:-CRC_LENGTH])
        block = np.dtype([("id", "u1"), ("goal", "<i4")])
        self._goals = np.frombuffer(
            self._body, dtype=block, count=len(ids), offset=_SYNC_WRITE_BLOCKS
        )["goal"]

    def encode(self, goal_ticks: Int32Array) -> bytes:
        """Return the frame for goals of shape (joints,)."""
        self._goals[:] = goal_ticks
        body = bytes(self._body)
        if STUFF_MARK in body[codec.BODY_OFFSET :]:
            return self._encode_stuffed(goal_ticks)
        return body + crc16_umts(body).to_bytes(CRC_LENGTH, "little")

    def _encode_stuffed(self, goal_ticks: Int32Array) -> bytes:
        goals = (goal.tobytes() for goal in goal_ticks.astype("<i4"))
        data_by_id = dict(zip(self._ids, goals, strict=True))
        return codec.sync_write(Register.GOAL_POSITION, GOAL_LENGTH, data_by_id)


@dataclass(frozen=True, slots=True)
class StateQuestion:
    """The (fast) sync read of all states and what its answer looks like on the wire."""

    ids: tuple[int, ...]
    fast: bool

    @property
    def frame(self) -> bytes:
        """Wire bytes of the question."""
        build = codec.fast_sync_read if self.fast else codec.sync_read
        return build(STATE_REGISTER, STATE_LENGTH, self.ids)

    @property
    def answer_length(self) -> int:
        """Bytes of a whole answer without stuffing."""
        if self.fast:
            block = STATE_LENGTH + codec.FAST_BLOCK_OVERHEAD
            return codec.BODY_OFFSET + 1 + block * len(self.ids)
        return (STATE_LENGTH + codec.STATUS_OVERHEAD) * len(self.ids)


class WholeAnswer:
    """The common answer to a fast sync read as an undisturbed line brings it: all in one piece.

    It gives up on anything out of the ordinary, and the packet parser goes through it.
    """

    def __init__(self, question: StateQuestion) -> None:
        ids = question.ids
        blank = [Status(device_id, 0, bytes(STATE_LENGTH)) for device_id in ids]
        self._head = codec.fast_sync_status(blank)[: codec.BODY_OFFSET + 1]
        self._length = question.answer_length if question.fast else -1
        self._ids, self._no_errors = bytes(ids), bytes(len(ids))

    def states(self, data: bytes) -> StateArray | None:
        """What all servos measure, or None unless ``data`` is exactly their flawless answer."""
        first, block = len(self._head), STATE_LENGTH + codec.FAST_BLOCK_OVERHEAD
        if len(data) != self._length or not data.startswith(self._head):
            return None
        if data[first::block] != self._no_errors or data[first + 1 :: block] != self._ids:
            return None
        if crc16_umts(data[:-CRC_LENGTH]) != data[-2] | data[-1] << 8:
            return None
        return np.frombuffer(data, _BLOCK, len(self._ids), first)


class StateCollector:
    """Puts the answers to one ``StateQuestion`` together, whatever the pieces they come in."""

    def __init__(self, question: StateQuestion) -> None:
        self._question = question
        self._parser = PacketParser()
        self._answers: dict[int, Status] = {}
        self._whole = WholeAnswer(question)
        self._at_once: StateArray | None = None
        self._fresh = True

    def restart(self) -> None:
        """Forget everything received so far."""
        self._parser.reset()
        self._answers.clear()
        self._at_once, self._fresh = None, True

    def feed(self, data: bytes) -> bool:
        """Take bytes; True when nothing more is to come, because the last servo answered."""
        if self._fresh:
            self._fresh = False
            self._at_once = self._whole.states(data)
            if self._at_once is not None:
                return True
        for packet in self._parser.feed(data):
            for answer in self._split(packet):
                if len(answer.data) == STATE_LENGTH:
                    self._answers[answer.device_id] = answer
        return self._question.ids[-1] in self._answers

    def _split(self, packet: codec.Packet) -> list[Status]:
        if self._question.fast:
            return codec.split_fast_sync(packet, STATE_LENGTH)
        answer = codec.as_status(packet)
        return [answer] if answer is not None else []

    def missing(self) -> list[int]:
        """Ids that have not answered."""
        if self._at_once is not None:
            return []
        return [i for i in self._question.ids if i not in self._answers]

    def alerts(self) -> list[int]:
        """Ids whose answer carries an error or the alert of a hardware error."""
        return [i for i, answer in self._answers.items() if answer.error]

    def measured(self) -> StateArray:
        """Current, velocity and position of each joint in its servo's units, shape (joints,)."""
        if self._at_once is not None:
            return self._at_once
        data = b"".join([self._answers[i].data for i in self._question.ids])
        return np.frombuffer(data, dtype=STATE_LAYOUT)
