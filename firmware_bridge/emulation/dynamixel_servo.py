"""One emulated Dynamixel X-series servo: its control table and the rules around it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from firmware_bridge.dynamixel.codec import ALERT_BIT, ErrorNumber
from firmware_bridge.dynamixel.registers import (
    DRIVE_MODE_REVERSE,
    WIDTH,
    OperatingMode,
    Register,
)
from firmware_bridge.dynamixel.units import WATCHDOG_UNIT_MS
from firmware_bridge.emulation.control_table import (
    EEPROM_END,
    FIELDS,
    GOALS,
    TABLE_SIZE,
    ControlTable,
    fields_in,
)

WATCHDOG_TRIPPED = -1
_ID, _SECONDARY_ID = int(Register.ID), int(Register.SECONDARY_ID)  # plain: read for each packet
_TORQUE_ENABLE = int(Register.TORQUE_ENABLE)
_PRESENT_AT = int(Register.PRESENT_CURRENT)
_PRESENT = struct.Struct("<hii")  # current, velocity, position stand side by side
NO_SECONDARY_ID = 253  # this value and above switch the secondary id off


@dataclass(frozen=True, slots=True)
class Mount:
    """How a servo sits on a joint: index of the joint, sense of rotation, joint angle at centre."""

    joint: int
    direction: int = 1
    zero_offset_rad: float = 0.0


class DynamixelServo:
    """Reads, writes, torque, bus watchdog, alert and reboot as the e-manual describes them.

    Not modelled: indirect addresses, registered writes, motion profiles, and modes other than the
    position modes. ``goal_ticks`` is what the motor aims at, which is not always the goal register:
    a servo whose watchdog tripped stays where it stopped until it gets a new goal.
    """

    def __init__(self, servo_id: int, mount: Mount) -> None:
        self.mount = mount
        self.table = ControlTable()
        self.table[Register.ID] = servo_id
        self.goal_ticks = self.table[Register.GOAL_POSITION]

    @property
    def servo_id(self) -> int:
        """The id it answers to."""
        return self.table.bytes[_ID]

    @property
    def secondary_id(self) -> int | None:
        """The id whose writes it also obeys, silently; None when switched off."""
        value = self.table.bytes[_SECONDARY_ID]
        return value if value < NO_SECONDARY_ID else None

    @property
    def has_torque(self) -> bool:
        """Tell whether the motor holds."""
        return self.table.bytes[_TORQUE_ENABLE] == 1

    @property
    def direction(self) -> int:
        """Sense of rotation along the joint: the mount's, turned round by reverse drive mode."""
        reverse = self.table[Register.DRIVE_MODE] & DRIVE_MODE_REVERSE
        return -self.mount.direction if reverse else self.mount.direction

    @property
    def alert(self) -> int:
        """The alert bit of its status packets."""
        return ALERT_BIT if self.table[Register.HARDWARE_ERROR_STATUS] else 0

    @property
    def return_level(self) -> int:
        """0: answers to ping only, 1: and to reads, 2: and to everything."""
        return self.table[Register.STATUS_RETURN_LEVEL]

    def read(self, address: int, length: int) -> tuple[int, bytes]:
        """Return (error number, bytes) of a part of the table."""
        if length == 0 or address + length > TABLE_SIZE:
            return ErrorNumber.ACCESS, b""
        return ErrorNumber.NONE, bytes(self.table.bytes[address : address + length])

    def write(self, address: int, data: bytes, ram_only: bool = False) -> int:
        """Write a part of the table, all or nothing; returns the error number.

        ``ram_only`` is how a write reaches a servo through its secondary id.
        """
        values = fields_in(address, data)
        if values is None:
            return ErrorNumber.DATA_LENGTH
        if not values or (ram_only and address < EEPROM_END):
            return ErrorNumber.ACCESS
        for register, value in values.items():
            if error := self._refusal(register, value):
                return error
        for register, value in values.items():
            self._apply(register, value)
        return ErrorNumber.NONE

    def _refusal(self, register: Register, value: int) -> int:
        low, high = FIELDS[register].low, FIELDS[register].high
        if low is None or high is None or (register < EEPROM_END and self.has_torque):
            return ErrorNumber.ACCESS
        if not low <= value <= high or self._is_locked_by_watchdog(register, value):
            return ErrorNumber.DATA_RANGE
        if register == Register.GOAL_POSITION and not self._within_position_limits(value):
            return ErrorNumber.DATA_LIMIT
        if register == Register.TORQUE_ENABLE and value and self.alert:
            return ErrorNumber.RESULT_FAIL  # a servo that shut down wants a reboot first
        return ErrorNumber.NONE

    def _is_locked_by_watchdog(self, register: Register, value: int) -> bool:
        if self.table[Register.BUS_WATCHDOG] != WATCHDOG_TRIPPED:
            return False
        return register in GOALS or (register == Register.BUS_WATCHDOG and value != 0)

    def _within_position_limits(self, ticks: int) -> bool:
        if self.table[Register.OPERATING_MODE] != OperatingMode.POSITION:
            return True
        low, high = Register.MIN_POSITION_LIMIT, Register.MAX_POSITION_LIMIT
        return self.table[low] <= ticks <= self.table[high]

    def _apply(self, register: Register, value: int) -> None:
        self.table[register] = value
        if register == Register.GOAL_POSITION:
            self.goal_ticks = value
        if register == Register.TORQUE_ENABLE:
            self.goal_ticks = self.table[Register.GOAL_POSITION]

    def publish(self, position_ticks: int, velocity_units: int, current_units: int) -> None:
        """Take over what the plant measured, in this servo's own units."""
        _PRESENT.pack_into(
            self.table.bytes, _PRESENT_AT, current_units, velocity_units, position_ticks
        )

    def aim_here(self) -> None:
        """Make the present position the goal."""
        self.goal_ticks = self.table[Register.PRESENT_POSITION]
        self.table[Register.GOAL_POSITION] = self.goal_ticks

    def check_watchdog(self, silence_ns: int) -> bool:
        """Stop where it stands after too long a silence on the bus; True when that happens.

        The e-manual: watched while torque is on; the register then reads −1, goals are read-only
        and writing one is a range error, until 0 is written.
        """
        units = self.table[Register.BUS_WATCHDOG]
        if units <= 0 or not self.has_torque or silence_ns <= units * WATCHDOG_UNIT_MS * 1_000_000:
            return False
        self.table[Register.BUS_WATCHDOG] = WATCHDOG_TRIPPED
        self.table[Register.PROFILE_ACCELERATION] = 0
        self.table[Register.PROFILE_VELOCITY] = 0
        self.goal_ticks = self.table[Register.PRESENT_POSITION]
        return True

    def fail(self, bits: int) -> None:
        """Raise bits of ``HARDWARE_ERROR_STATUS``; those in ``SHUTDOWN`` end torque."""
        self.table[Register.HARDWARE_ERROR_STATUS] |= bits
        if bits & self.table[Register.SHUTDOWN]:
            self.table[Register.TORQUE_ENABLE] = 0

    def reboot(self) -> None:
        """Start again: RAM as at power-on, torque off, EEPROM and what is measured kept."""
        measured = range(Register.REALTIME_TICK, TABLE_SIZE)
        for register in WIDTH:
            if register >= EEPROM_END and register not in measured:
                self.table.restore(register)
        self.goal_ticks = self.table[Register.GOAL_POSITION]
