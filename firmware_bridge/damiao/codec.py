"""Damiao frames in MIT mode: values to bits and back (DM-J series manual, CAN protocol).

Commands go to the motor's id, answers come from its master id; classic CAN, 8 bytes, big-endian
fields of 16 and 12 bits that map a range linearly. Registers are read and written through id
0x7FF, and their answers come from the master id, too: byte 2 tells them from feedback.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from firmware_bridge.can_bus.frame import CanFrame

REGISTER_ID = 0x7FF
MAX_MOTOR_ID = 0x0F  # feedback has 4 bits for it
KP_MAX = 500.0
KD_MAX = 5.0


class Special(IntEnum):
    """Last byte of a command whose other bytes are 0xFF."""

    CLEAR_ERRORS = 0xFB
    ENABLE = 0xFC
    DISABLE = 0xFD
    SET_ZERO = 0xFE


class Access(IntEnum):
    """What a frame to 0x7FF wants."""

    READ = 0x33
    WRITE = 0x55
    SAVE = 0xAA
    REFRESH = 0xCC  # asks for feedback without commanding anything


class Register(IntEnum):
    """Registers that this bridge uses, by the manual's names."""

    KT_VALUE = 1  # Nm/A
    MST_ID = 7
    ESC_ID = 8
    TIMEOUT = 9  # units of 50 us, 0: none
    CTRL_MODE = 10
    SW_VER = 14
    PMAX = 21
    VMAX = 22
    TMAX = 23


INTEGER_REGISTERS = frozenset(
    {Register.MST_ID, Register.ESC_ID, Register.TIMEOUT, Register.CTRL_MODE, Register.SW_VER}
)
MIT_MODE = 1
TIMEOUT_UNIT_US = 50

DISABLED, ENABLED = 0, 1
LOST_COMMUNICATION = 0xD
FAULTS = {
    0x8: "over-voltage",
    0x9: "under-voltage",
    0xA: "over-current",
    0xB: "driver over-temperature",
    0xC: "motor over-temperature",
    LOST_COMMUNICATION: "lost communication",
    0xE: "overload",
}


class Ranges(NamedTuple):
    """What full scale means for a motor: ± these [rad, rad/s, Nm]."""

    position: float
    velocity: float
    torque: float


class MitCommand(NamedTuple):
    """Impedance command: torque = kp (position − p) + kd (velocity − v) + torque."""

    position: float
    velocity: float
    kp: float
    kd: float
    torque: float


class Feedback(NamedTuple):
    """What a motor answers to every command."""

    state: int
    position: float
    velocity: float
    torque: float


class RawFeedback(NamedTuple):
    """The same as the wire's codes: position of 16 bits, velocity and torque of 12."""

    state: int
    position: int
    velocity: int
    torque: int


class RegisterAnswer(NamedTuple):
    """Echo of a register's value, as its 4 bytes."""

    access: int
    register: int
    data: bytes


def to_bits(value: float, low: float, high: float, bits: int) -> int:
    """Nearest code for a value in ``low`` to ``high``, saturated."""
    full = (1 << bits) - 1
    return max(0, min(full, round((value - low) * full / (high - low))))


def from_bits(code: int, low: float, high: float, bits: int) -> float:
    """The inverse."""
    return low + code * (high - low) / ((1 << bits) - 1)


def mit_command(motor_id: int, command: MitCommand, ranges: Ranges) -> CanFrame:
    """An impedance command, saturated to the motor's ranges."""
    position = to_bits(command.position, -ranges.position, ranges.position, 16)
    velocity = to_bits(command.velocity, -ranges.velocity, ranges.velocity, 12)
    kp = to_bits(command.kp, 0.0, KP_MAX, 12)
    kd = to_bits(command.kd, 0.0, KD_MAX, 12)
    torque = to_bits(command.torque, -ranges.torque, ranges.torque, 12)
    packed = position << 48 | velocity << 36 | kp << 24 | kd << 12 | torque
    return CanFrame(motor_id, packed.to_bytes(8, "big"))


def read_mit_command(data: bytes, ranges: Ranges) -> MitCommand:
    """The inverse, for 8 bytes."""
    packed = int.from_bytes(data, "big")
    return MitCommand(
        from_bits(packed >> 48, -ranges.position, ranges.position, 16),
        from_bits(packed >> 36 & 0xFFF, -ranges.velocity, ranges.velocity, 12),
        from_bits(packed >> 24 & 0xFFF, 0.0, KP_MAX, 12),
        from_bits(packed >> 12 & 0xFFF, 0.0, KD_MAX, 12),
        from_bits(packed & 0xFFF, -ranges.torque, ranges.torque, 12),
    )


def special(motor_id: int, what: Special) -> CanFrame:
    """Enable, disable, set zero, clear errors."""
    return CanFrame(motor_id, b"\xff" * 7 + bytes((what,)))


def refresh(motor_id: int) -> CanFrame:
    """Ask for feedback."""
    return CanFrame(REGISTER_ID, bytes((motor_id, 0, Access.REFRESH, 0, 0, 0, 0, 0)))


def read_register(motor_id: int, register: int) -> CanFrame:
    """Ask for a register."""
    return CanFrame(REGISTER_ID, bytes((motor_id, 0, Access.READ, register, 0, 0, 0, 0)))


def write_register(motor_id: int, register: int, data: bytes) -> CanFrame:
    """Set a register until power goes; ``data`` is 4 bytes, little-endian."""
    return CanFrame(REGISTER_ID, bytes((motor_id, 0, Access.WRITE, register)) + data)


def save(motor_id: int) -> CanFrame:
    """Keep the registers as they are now without power; only a disabled motor does."""
    return CanFrame(REGISTER_ID, bytes((motor_id, 0, Access.SAVE, 1, 0, 0, 0, 0)))


def register_answer(master_id: int, motor_id: int, answer: RegisterAnswer) -> CanFrame:
    """A register's echo, as the motor sends it."""
    head = bytes((motor_id, 0, answer.access, answer.register))
    return CanFrame(master_id, head + answer.data)


def feedback(master_id: int, motor_id: int, value: Feedback, ranges: Ranges) -> CanFrame:
    """Feedback, as the motor sends it, with both temperatures at 30 °C."""
    position = to_bits(value.position, -ranges.position, ranges.position, 16)
    velocity = to_bits(value.velocity, -ranges.velocity, ranges.velocity, 12)
    torque = to_bits(value.torque, -ranges.torque, ranges.torque, 12)
    head = value.state << 4 | motor_id
    packed = head << 40 | position << 24 | velocity << 12 | torque
    return CanFrame(master_id, packed.to_bytes(6, "big") + bytes((30, 30)))


def read_register_answer(motor_id: int, data: bytes) -> RegisterAnswer | None:
    """A register's echo, or None if this is something else.

    Feedback of a disabled motor that stands at the very end of its range begins with the same
    bytes; it is taken for an echo then, so an echo is never taken for a position.
    """
    if len(data) != 8 or data[0] != motor_id or data[1] != 0:
        return None
    if data[2] not in (Access.READ, Access.WRITE, Access.SAVE):
        return None
    return RegisterAnswer(data[2], data[3], data[4:])


def is_feedback(motor_id: int, data: bytes) -> bool:
    """Tell feedback of this motor from anything else."""
    if len(data) != 8 or data[0] & 0x0F != motor_id:
        return False
    return data[0] != motor_id or read_register_answer(motor_id, data) is None


def read_raw_feedback(motor_id: int, data: bytes) -> RawFeedback | None:
    """Feedback of this motor as codes, or None if this is something else."""
    if not is_feedback(motor_id, data):
        return None
    packed = int.from_bytes(data[:6], "big")
    return RawFeedback(packed >> 44, packed >> 24 & 0xFFFF, packed >> 12 & 0xFFF, packed & 0xFFF)


def read_feedback(motor_id: int, data: bytes, ranges: Ranges) -> Feedback | None:
    """Feedback of this motor, or None if this is something else."""
    raw = read_raw_feedback(motor_id, data)
    if raw is None:
        return None
    return Feedback(
        raw.state,
        from_bits(raw.position, -ranges.position, ranges.position, 16),
        from_bits(raw.velocity, -ranges.velocity, ranges.velocity, 12),
        from_bits(raw.torque, -ranges.torque, ranges.torque, 12),
    )


def describe_fault(state: int) -> str:
    """Name of a motor state that is neither disabled nor enabled."""
    return FAULTS.get(state, f"state {state:#x}")
