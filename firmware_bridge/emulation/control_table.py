"""Defaults, access and ranges of an X-series control table (e-manual, XM540-W270, XM430-W350)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

from firmware_bridge.dynamixel.registers import SIGNED, WIDTH, Register

TABLE_SIZE = 148
EEPROM_END = 64  # registers below keep their value without power and are locked while torque is on
XM540_W270 = 1120
XM430_W350 = 1020
FIRMWARE_VERSION = 45


@dataclass(frozen=True, slots=True)
class Field:
    """One register: its value at power-on, and the range that may be written (None: read only)."""

    default: int
    low: int | None = None
    high: int | None = None


FIELDS: dict[Register, Field] = {
    Register.MODEL_NUMBER: Field(XM540_W270),
    Register.MODEL_INFORMATION: Field(0),
    Register.FIRMWARE_VERSION: Field(FIRMWARE_VERSION),
    Register.ID: Field(1, 0, 252),
    Register.BAUD_RATE: Field(1, 0, 7),
    Register.RETURN_DELAY_TIME: Field(250, 0, 254),
    Register.DRIVE_MODE: Field(0, 0, 13),
    Register.OPERATING_MODE: Field(3, 0, 16),
    Register.SECONDARY_ID: Field(255, 0, 255),
    Register.PROTOCOL_TYPE: Field(2, 1, 2),
    Register.HOMING_OFFSET: Field(0, -1_044_479, 1_044_479),
    Register.MOVING_THRESHOLD: Field(10, 0, 1023),
    Register.TEMPERATURE_LIMIT: Field(80, 0, 100),
    Register.MAX_VOLTAGE_LIMIT: Field(160, 95, 160),
    Register.MIN_VOLTAGE_LIMIT: Field(95, 95, 160),
    Register.PWM_LIMIT: Field(885, 0, 885),
    Register.CURRENT_LIMIT: Field(2047, 0, 2047),
    Register.VELOCITY_LIMIT: Field(128, 0, 1023),
    Register.MAX_POSITION_LIMIT: Field(4095, 0, 4095),
    Register.MIN_POSITION_LIMIT: Field(0, 0, 4095),
    Register.SHUTDOWN: Field(52, 0, 255),
    Register.TORQUE_ENABLE: Field(0, 0, 1),
    Register.LED: Field(0, 0, 1),
    Register.STATUS_RETURN_LEVEL: Field(2, 0, 2),
    Register.REGISTERED_INSTRUCTION: Field(0),
    Register.HARDWARE_ERROR_STATUS: Field(0),
    Register.VELOCITY_I_GAIN: Field(1920, 0, 16383),
    Register.VELOCITY_P_GAIN: Field(100, 0, 16383),
    Register.POSITION_D_GAIN: Field(0, 0, 16383),
    Register.POSITION_I_GAIN: Field(0, 0, 16383),
    Register.POSITION_P_GAIN: Field(800, 0, 16383),
    Register.FEEDFORWARD_2ND_GAIN: Field(0, 0, 16383),
    Register.FEEDFORWARD_1ST_GAIN: Field(0, 0, 16383),
    Register.BUS_WATCHDOG: Field(0, 0, 127),
    Register.GOAL_PWM: Field(885, -885, 885),
    Register.GOAL_CURRENT: Field(2047, -2047, 2047),
    Register.GOAL_VELOCITY: Field(0, -1023, 1023),
    Register.PROFILE_ACCELERATION: Field(0, 0, 32767),
    Register.PROFILE_VELOCITY: Field(0, 0, 32767),
    Register.GOAL_POSITION: Field(2048, -1_048_575, 1_048_575),
    Register.REALTIME_TICK: Field(0),
    Register.MOVING: Field(0),
    Register.MOVING_STATUS: Field(0),
    Register.PRESENT_PWM: Field(0),
    Register.PRESENT_CURRENT: Field(0),
    Register.PRESENT_VELOCITY: Field(0),
    Register.PRESENT_POSITION: Field(2048),
    Register.VELOCITY_TRAJECTORY: Field(0),
    Register.POSITION_TRAJECTORY: Field(2048),
    Register.PRESENT_INPUT_VOLTAGE: Field(120),
    Register.PRESENT_TEMPERATURE: Field(32),
    Register.BACKUP_READY: Field(0),
}

GOALS = frozenset(
    {
        Register.GOAL_PWM,
        Register.GOAL_CURRENT,
        Register.GOAL_VELOCITY,
        Register.GOAL_POSITION,
    }
)  # what a tripped bus watchdog locks


_FORMATS = {1: "B", 2: "H", 4: "I"}
_LAYOUT = {
    register: struct.Struct(
        "<" + (_FORMATS[width].lower() if register in SIGNED else _FORMATS[width])
    )
    for register, width in WIDTH.items()
}


class ControlTable:
    """The bytes of one servo's control table."""

    def __init__(self) -> None:
        self.bytes = bytearray(TABLE_SIZE)
        for register in FIELDS:
            self.restore(register)

    def __getitem__(self, register: Register) -> int:
        value: int = _LAYOUT[register].unpack_from(self.bytes, register)[0]
        return value

    def __setitem__(self, register: Register, value: int) -> None:
        _LAYOUT[register].pack_into(self.bytes, register, value)

    def restore(self, register: Register) -> None:
        """Put one register back to its value at power-on."""
        self[register] = FIELDS[register].default


def fields_in(address: int, data: bytes) -> dict[Register, int] | None:
    """Return the registers that ``data`` at ``address`` would set, or None if it cuts one in two.

    Bytes that no register owns make it empty: they cannot be written.
    """
    registers = _registers_in(address, len(data))
    if not registers:
        return None if registers is None else {}
    return {r: _LAYOUT[r].unpack_from(data, r - address)[0] for r in registers}


@lru_cache
def _registers_in(address: int, length: int) -> tuple[Register, ...] | None:
    """Those that fill this part of the table; none of them, or None, as ``fields_in``."""
    registers: list[Register] = []
    at = address
    while at < address + length:
        if at not in FIELDS:
            return ()
        registers.append(Register(at))
        at += WIDTH[registers[-1]]
    return tuple(registers) if at == address + length else None
