"""Control table addresses of the Dynamixel X series (e-manual of XM430 and XM540, control table).

Names are the manual's. Widths are in bytes; the registers in ``SIGNED`` are two's complement and
all multi-byte registers are little-endian.
"""

from __future__ import annotations

from enum import IntEnum


class Register(IntEnum):
    """Address of each register that the bus or the emulated servo knows."""

    MODEL_NUMBER = 0
    MODEL_INFORMATION = 2
    FIRMWARE_VERSION = 6
    ID = 7
    BAUD_RATE = 8
    RETURN_DELAY_TIME = 9
    DRIVE_MODE = 10
    OPERATING_MODE = 11
    SECONDARY_ID = 12
    PROTOCOL_TYPE = 13
    HOMING_OFFSET = 20
    MOVING_THRESHOLD = 24
    TEMPERATURE_LIMIT = 31
    MAX_VOLTAGE_LIMIT = 32
    MIN_VOLTAGE_LIMIT = 34
    PWM_LIMIT = 36
    CURRENT_LIMIT = 38
    VELOCITY_LIMIT = 44
    MAX_POSITION_LIMIT = 48
    MIN_POSITION_LIMIT = 52
    SHUTDOWN = 63
    TORQUE_ENABLE = 64
    LED = 65
    STATUS_RETURN_LEVEL = 68
    REGISTERED_INSTRUCTION = 69
    HARDWARE_ERROR_STATUS = 70
    VELOCITY_I_GAIN = 76
    VELOCITY_P_GAIN = 78
    POSITION_D_GAIN = 80
    POSITION_I_GAIN = 82
    POSITION_P_GAIN = 84
    FEEDFORWARD_2ND_GAIN = 88
    FEEDFORWARD_1ST_GAIN = 90
    BUS_WATCHDOG = 98
    GOAL_PWM = 100
    GOAL_CURRENT = 102
    GOAL_VELOCITY = 104
    PROFILE_ACCELERATION = 108
    PROFILE_VELOCITY = 112
    GOAL_POSITION = 116
    REALTIME_TICK = 120
    MOVING = 122
    MOVING_STATUS = 123
    PRESENT_PWM = 124
    PRESENT_CURRENT = 126
    PRESENT_VELOCITY = 128
    PRESENT_POSITION = 132
    VELOCITY_TRAJECTORY = 136
    POSITION_TRAJECTORY = 140
    PRESENT_INPUT_VOLTAGE = 144
    PRESENT_TEMPERATURE = 146
    BACKUP_READY = 147


_FOUR_BYTES = (
    Register.MODEL_INFORMATION, Register.HOMING_OFFSET, Register.MOVING_THRESHOLD,
    Register.VELOCITY_LIMIT, Register.MAX_POSITION_LIMIT, Register.MIN_POSITION_LIMIT,
    Register.GOAL_VELOCITY, Register.PROFILE_ACCELERATION, Register.PROFILE_VELOCITY,
    Register.GOAL_POSITION, Register.PRESENT_VELOCITY, Register.PRESENT_POSITION,
    Register.VELOCITY_TRAJECTORY, Register.POSITION_TRAJECTORY,
)  # fmt: skip
_TWO_BYTES = (
    Register.MODEL_NUMBER, Register.MAX_VOLTAGE_LIMIT, Register.MIN_VOLTAGE_LIMIT,
    Register.PWM_LIMIT, Register.CURRENT_LIMIT, Register.VELOCITY_I_GAIN, Register.VELOCITY_P_GAIN,
    Register.POSITION_D_GAIN, Register.POSITION_I_GAIN, Register.POSITION_P_GAIN,
    Register.FEEDFORWARD_2ND_GAIN, Register.FEEDFORWARD_1ST_GAIN, Register.GOAL_PWM,
    Register.GOAL_CURRENT, Register.REALTIME_TICK, Register.PRESENT_PWM, Register.PRESENT_CURRENT,
    Register.PRESENT_INPUT_VOLTAGE,
)  # fmt: skip

WIDTH: dict[Register, int] = (
    dict.fromkeys(Register, 1) | dict.fromkeys(_TWO_BYTES, 2) | dict.fromkeys(_FOUR_BYTES, 4)
)

SIGNED = frozenset(
    {
        Register.HOMING_OFFSET,
        Register.BUS_WATCHDOG,
        Register.GOAL_PWM,
        Register.GOAL_CURRENT,
        Register.GOAL_VELOCITY,
        Register.GOAL_POSITION,
        Register.PRESENT_PWM,
        Register.PRESENT_CURRENT,
        Register.PRESENT_VELOCITY,
        Register.PRESENT_POSITION,
        Register.VELOCITY_TRAJECTORY,
        Register.POSITION_TRAJECTORY,
    }
)


class OperatingMode(IntEnum):
    """Values of ``OPERATING_MODE`` in which ``GOAL_POSITION`` moves the servo."""

    POSITION = 3
    EXTENDED_POSITION = 4
    CURRENT_BASED_POSITION = 5


DRIVE_MODE_REVERSE = 0x01  # bit 0 of DRIVE_MODE: positive is clockwise
MODELS = {
    1000: "XH430-W350",
    1010: "XH430-W210",
    1020: "XM430-W350",
    1030: "XM430-W210",
    1060: "XL430-W250",
    1070: "XC430-W150",
    1080: "XC430-W240",
    1100: "XH540-W270",
    1110: "XH540-W150",
    1120: "XM540-W270",
    1130: "XM540-W150",
    1190: "XL330-M077",
    1200: "XL330-M288",
    1210: "XC330-T181",
    1220: "XC330-T288",
}  # by MODEL_NUMBER

HARDWARE_ERRORS = {
    0x01: "input voltage",
    0x04: "overheating",
    0x08: "motor encoder",
    0x10: "electrical shock",
    0x20: "overload",
}  # bits of HARDWARE_ERROR_STATUS


def describe_hardware_error(bits: int) -> str:
    """Return the names of the set bits of ``HARDWARE_ERROR_STATUS``, joined by commas."""
    names = [name for bit, name in HARDWARE_ERRORS.items() if bits & bit]
    return ", ".join(names) if names else f"code {bits:#04x}"
