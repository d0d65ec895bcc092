"""The control cycle over moteus registers: each position command carries its own question.

Question: mode (int8), position (float), velocity, torque and current (int16), fault (int8), in 8
bytes. Its answer fits a frame of 20 bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from math import isfinite

import numpy as np

from firmware_bridge.can_bus.frame import CanFrame, extended_fd_frames, fd_padded
from firmware_bridge.can_bus.joint_bus import Measured
from firmware_bridge.errors import DeviceError
from firmware_bridge.joint_map import JointMap, JointScale
from firmware_bridge.messages import Float64Array
from firmware_bridge.moteus import codec
from firmware_bridge.moteus.codec import READ, WRITE, Mode, Register, Width

RAD_PER_TURN = 2.0 * math.pi
MA_PER_A = 1000.0
QUESTION = (
    codec.header(READ, Width.INT8, Register.MODE, 1)
    + codec.header(READ, Width.F32, Register.POSITION, 1)
    + codec.header(READ, Width.INT16, Register.VELOCITY, 3)
    + codec.header(READ, Width.INT8, Register.FAULT, 1)
)
_POSITION_MODE = codec.header(WRITE, Width.INT8, Register.MODE, 1) + bytes((Mode.POSITION,))
_HEAD = _POSITION_MODE + codec.header(WRITE, Width.F32, Register.COMMAND_POSITION, 1)
_TIMEOUT = codec.header(WRITE, Width.F32, Register.COMMAND_TIMEOUT, 1)
_F32 = struct.Struct("<f")
# The answer to QUESTION as a servo sends it: what stands where, and what it must begin with.
_ANSWER = struct.Struct("<2sb2sf2shhh2sb")
_READING = "5xf2xh2xh3x"  # of the same: turns, speed and current
_ANSWER_MARKS = (b"\x21\x00", b"\x2d\x01", b"\x27\x02", b"\x21\x0f")
_VELOCITY_UNIT, _CURRENT_UNIT = 0.00025, 0.1
_INT16_NAN = -32768
_IN_POSITION_MODE = int(Mode.POSITION)  # compares quicker than the member of an enum


class MoteusDialect:
    """``CanDialect`` of moteus. A position command keeps a servo's own watchdog quiet.

    It also brings a servo into position mode that has just rebooted. So one that owes an answer is
    only asked, until it has shown its mode.
    """

    def __init__(self, joints: JointMap, watchdog_s: float) -> None:
        self._ids = joints.ids
        self._joint_by_answer = {codec.answer_id(i): j for j, i in enumerate(joints.ids)}
        self._scale = JointScale(joints, RAD_PER_TURN)
        self._command_ids = [codec.command_id(servo_id) for servo_id in joints.ids]
        tail = _TIMEOUT + _F32.pack(watchdog_s) + QUESTION
        whole = fd_padded(_HEAD + bytes(4) + tail, codec.NOP)
        self._tail = whole[len(_HEAD) + 4 :]
        form = [("head", f"V{len(_HEAD)}"), ("turns", "<f4"), ("tail", f"V{len(self._tail)}")]
        self._commands = np.frombuffer(bytearray(whole * len(joints)), np.dtype(form))
        self._turns = self._commands["turns"]
        self._payloads = struct.Struct(f"{len(whole)}s" * len(joints))
        self._questions = [codec.frame(can_id, QUESTION) for can_id in self._command_ids]
        self._answers = [bytes(_ANSWER.size)] * len(joints)
        self._readings = struct.Struct("<" + _READING * len(joints))
        self._factors, self._offsets = self._scale.rows(
            1.0, _VELOCITY_UNIT, _CURRENT_UNIT * MA_PER_A
        )
        self._owes = [False] * len(joints)
        self.watched = False  # a servo that left position mode is a fault

    def questions(self, joints: Sequence[int]) -> list[CanFrame]:
        """Ask without commanding."""
        return [self._questions[joint] for joint in joints]

    def setpoints(self, position_rad: Float64Array) -> list[CanFrame]:
        """Position mode at these turns, each with the question for its state."""
        self._turns[:] = self._scale.position_units(position_rad)
        payloads = self._payloads.unpack(self._commands.tobytes())
        frames = extended_fd_frames(self._command_ids, payloads)
        if True in self._owes:
            frames = [
                question if owes else frame
                for frame, question, owes in zip(frames, self._questions, self._owes, strict=True)
            ]
        self._owes = [True] * len(frames)
        return frames

    def command(self, servo_id: int, turns: float) -> CanFrame:
        """Hold a position [turns]."""
        return codec.frame(codec.command_id(servo_id), _HEAD + _F32.pack(turns) + self._tail)

    def accept(self, frame: CanFrame) -> int | None:
        """Take an answer in; a servo that stopped by itself raises ``DeviceError``."""
        joint = self._joint_by_answer.get(frame.can_id)
        if joint is None or len(frame.data) < _ANSWER.size:
            return None
        mark1, mode, mark2, turns, mark3, speed, _, current, mark4, fault = _ANSWER.unpack_from(
            frame.data
        )
        if (mark1, mark2, mark3, mark4) != _ANSWER_MARKS:
            return None
        if self.watched and mode != _IN_POSITION_MODE:
            raise DeviceError(f"servo {self._ids[joint]} {describe_mode(mode, fault)}")
        if not isfinite(turns) or speed == _INT16_NAN or current == _INT16_NAN:
            return None
        self._answers[joint] = frame.data[: _ANSWER.size]
        self._owes[joint] = False
        return joint

    def measured(self) -> Measured:
        """Positions, velocities and currents along the joints."""
        values = self._readings.unpack(b"".join(self._answers))
        flat = (*values[::3], *values[1::3], *values[2::3])  # an array of those is made faster
        state = np.array(flat, dtype=np.float64).reshape(3, -1)
        state *= self._factors
        state += self._offsets
        return Measured(*state)


def describe_mode(mode: int, fault: int) -> str:
    """What a servo outside position mode does, as a predicate."""
    if mode == Mode.FAULT:
        return f"reports: {codec.describe_fault(fault)}"
    if mode == Mode.TIMEOUT:
        return "stopped: its watchdog tripped; enable again"
    return f"is in mode {mode}, not in position mode"
