"""Memory table of the STS and SMS series (STS3215 manual), little-endian.

Negative numbers are sign and magnitude; the sign bit differs between registers.
"""

from __future__ import annotations

from enum import IntEnum


class Register(IntEnum):
    """Address of each register that the bus or the emulated servo knows."""

    FIRMWARE_MAJOR = 0
    FIRMWARE_MINOR = 1
    MODEL_NUMBER = 3
    ID = 5
    BAUD_RATE = 6
    RETURN_DELAY_TIME = 7
    RESPONSE_LEVEL = 8
    MIN_ANGLE_LIMIT = 9
    MAX_ANGLE_LIMIT = 11
    HOMING_OFFSET = 31
    OPERATING_MODE = 33
    TORQUE_ENABLE = 40
    ACCELERATION = 41
    GOAL_POSITION = 42
    GOAL_TIME = 44
    GOAL_SPEED = 46
    TORQUE_LIMIT = 48
    LOCK = 55
    PRESENT_POSITION = 56
    PRESENT_SPEED = 58
    PRESENT_LOAD = 60
    PRESENT_VOLTAGE = 62
    PRESENT_TEMPERATURE = 63
    STATUS = 65
    MOVING = 66
    PRESENT_CURRENT = 69


_TWO_BYTES = (
    Register.MODEL_NUMBER, Register.MIN_ANGLE_LIMIT, Register.MAX_ANGLE_LIMIT,
    Register.HOMING_OFFSET, Register.GOAL_POSITION, Register.GOAL_TIME, Register.GOAL_SPEED,
    Register.TORQUE_LIMIT, Register.PRESENT_POSITION, Register.PRESENT_SPEED,
    Register.PRESENT_LOAD, Register.PRESENT_CURRENT,
)  # fmt: skip
WIDTH: dict[Register, int] = dict.fromkeys(Register, 1) | dict.fromkeys(_TWO_BYTES, 2)

SIGN_BIT = {
    Register.HOMING_OFFSET: 11,
    Register.GOAL_POSITION: 15,
    Register.GOAL_TIME: 10,
    Register.GOAL_SPEED: 15,
    Register.PRESENT_POSITION: 15,
    Register.PRESENT_SPEED: 15,
    Register.PRESENT_LOAD: 10,
    Register.PRESENT_CURRENT: 15,
}

POSITION_MODE = 0
MODELS = {777: "STS3215", 2825: "STS3250"}  # by MODEL_NUMBER
STATUS_ERRORS = {
    0x01: "input voltage",
    0x02: "angle sensor",
    0x04: "overheating",
    0x08: "over-current",
    0x20: "overload",
}


def to_sign_magnitude(value: int, sign_bit: int) -> int:
    """Encode ``value``; raises ``ValueError`` if its magnitude does not fit below the sign bit."""
    magnitude = abs(value)
    if magnitude >> sign_bit:
        raise ValueError(f"{value} does not fit a magnitude of {sign_bit} bits")
    return magnitude | (1 << sign_bit if value < 0 else 0)


def from_sign_magnitude(raw: int, sign_bit: int) -> int:
    """The inverse; bits above the sign bit are ignored."""
    magnitude = raw & ((1 << sign_bit) - 1)
    return -magnitude if raw >> sign_bit & 1 else magnitude


def describe_status(bits: int) -> str:
    """Return the names of a status byte's set bits, joined by commas."""
    names = [name for bit, name in STATUS_ERRORS.items() if bits & bit]
    return ", ".join(names) if names else f"code {bits:#04x}"
