"""moteus register protocol: subframes in CAN-FD frames (mjbots moteus reference manual, A.1, A.2).

A command goes to ``0x8000 | id`` where 0x8000 asks for an answer and bits 8 to 14 are the source
(0: this host). The answer's id is ``id << 8``. Frames are filled up with NOPs. Integers stand for
scaled values; their lowest one stands for "not a number".
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from firmware_bridge.can_bus.frame import MAX_STANDARD_ID, CanFrame, fd_padded

MAX_ID = 127
MOST_REGISTERS = 64  # no frame has room for more values
ANSWER_WANTED = 0x8000
NOP = 0x50
WRITE, READ, ANSWER = 0x00, 0x10, 0x20
WRITE_ERROR, READ_ERROR = 0x30, 0x31


class Register(IntEnum):
    """Registers that this bridge uses, by the manual's names."""

    MODE = 0x000
    POSITION = 0x001
    VELOCITY = 0x002
    TORQUE = 0x003
    Q_CURRENT = 0x004
    VOLTAGE = 0x00D
    TEMPERATURE = 0x00E
    FAULT = 0x00F
    COMMAND_POSITION = 0x020
    COMMAND_VELOCITY = 0x021
    COMMAND_TIMEOUT = 0x027
    MODEL_NUMBER = 0x100
    FIRMWARE_VERSION = 0x101


class Mode(IntEnum):
    """Values of ``MODE`` that this bridge meets."""

    STOPPED = 0
    FAULT = 1
    POSITION = 10
    TIMEOUT = 11


FAULTS = {
    32: "calibration fault",
    33: "motor driver fault",
    34: "over-voltage",
    35: "encoder fault",
    36: "motor not configured",
    37: "PWM cycle overrun",
    38: "over-temperature",
    39: "outside limit",
    40: "under-voltage",
    41: "configuration changed",
    42: "no valid commutation",
    43: "no valid position",
}


class Width(IntEnum):
    """How a register's value travels; the number stands in the subframe's first byte."""

    INT8 = 0
    INT16 = 1
    INT32 = 2
    F32 = 3


FORMS = tuple(struct.Struct(form) for form in ("<b", "<h", "<i", "<f"))
_SCALES: dict[int, tuple[float, float, float]] = {  # value of one step as int8, int16, int32
    Register.POSITION: (0.01, 0.0001, 0.00001),
    Register.VELOCITY: (0.1, 0.00025, 0.00001),
    Register.TORQUE: (0.5, 0.01, 0.001),
    Register.Q_CURRENT: (1.0, 0.1, 0.001),
    Register.VOLTAGE: (0.5, 0.1, 0.001),
    Register.TEMPERATURE: (1.0, 0.1, 0.001),
    Register.COMMAND_POSITION: (0.01, 0.0001, 0.00001),
    Register.COMMAND_VELOCITY: (0.1, 0.00025, 0.00001),
    Register.COMMAND_TIMEOUT: (0.01, 0.001, 0.000001),
}
_PLAIN = (1.0, 1.0, 1.0)


class Subframe(NamedTuple):
    """One register of a frame: kind (WRITE, READ, ANSWER), width, and its value (NaN in a READ)."""

    kind: int
    register: int
    width: int
    value: float


def command_id(servo_id: int, wants_answer: bool = True) -> int:
    """Id of a frame to a servo."""
    return servo_id | (ANSWER_WANTED if wants_answer else 0)


def answer_id(servo_id: int) -> int:
    """Id of a servo's answer to source 0."""
    return servo_id << 8


def frame(can_id: int, data: bytes) -> CanFrame:
    """A frame at both bit rates, filled up with NOPs."""
    padded = fd_padded(data, NOP)
    return CanFrame(can_id, padded, can_id > MAX_STANDARD_ID, fd=True, switch_rate=True)


def header(kind: int, width: Width, register: int, count: int) -> bytes:
    """First bytes of a subframe of ``count`` registers in a row (registers below 128)."""
    if count <= 3:
        return bytes((kind | width << 2 | count, register))
    return bytes((kind | width << 2, count, register))


def pack(width: int, register: int, value: float) -> bytes:
    """A value on the wire, saturated; an integer's lowest value says "not a number"."""
    if width == Width.F32:
        return FORMS[width].pack(value)
    top = (1 << 8 * FORMS[width].size - 1) - 1
    if not math.isfinite(value):
        return FORMS[width].pack(-top - 1)
    scaled = value / _SCALES.get(register, _PLAIN)[width]
    return FORMS[width].pack(max(-top, min(top, round(scaled))))


def unpack(width: int, register: int, data: bytes, at: int) -> float:
    """The inverse."""
    raw: float = FORMS[width].unpack_from(data, at)[0]
    if width == Width.F32:
        return raw
    if raw == -(1 << 8 * FORMS[width].size - 1):
        return math.nan
    return raw * _SCALES.get(register, _PLAIN)[width]


def parse(data: bytes) -> Iterator[Subframe]:
    """Registers in a frame, in order; ends at the first byte that it does not understand."""
    at = 0
    while at < len(data):
        first = data[at]
        kind, width, count = first & 0xF0, first >> 2 & 3, first & 3
        if first == NOP:
            at += 1
            continue
        if kind not in (WRITE, READ, ANSWER):
            return
        numbers, at = _varuints(data, at + 1, 1 if count else 2)
        if len(numbers) < (1 if count else 2):
            return
        register = numbers[-1]
        count = count or numbers[0]
        if count > MOST_REGISTERS:
            return
        size = FORMS[width].size
        for index in range(count):
            if kind == READ:
                yield Subframe(kind, register + index, width, math.nan)
                continue
            if at + size > len(data):
                return
            yield Subframe(kind, register + index, width, unpack(width, register + index, data, at))
            at += size


def _varuints(data: bytes, at: int, wanted: int) -> tuple[list[int], int]:
    """Up to ``wanted`` numbers of 7 bits a byte (at most 3 bytes each), and where they end."""
    numbers: list[int] = []
    value = shift = 0
    while at < len(data) and len(numbers) < wanted and shift < 21:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            numbers.append(value)
            value = shift = 0
    return numbers, at


def describe_fault(code: int) -> str:
    """Name of a fault code."""
    return FAULTS.get(code, f"fault {code}")
