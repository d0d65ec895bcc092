"""One emulated Damiao motor in MIT mode."""

from __future__ import annotations

import struct

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.damiao import codec
from firmware_bridge.damiao.codec import (
    DISABLED,
    ENABLED,
    LOST_COMMUNICATION,
    MIT_MODE,
    REGISTER_ID,
    TIMEOUT_UNIT_US,
    Access,
    Feedback,
    Ranges,
    Register,
    RegisterAnswer,
    Special,
)
from firmware_bridge.emulation.can_motor import CanMotor

DM_J4310 = Ranges(12.5, 30.0, 10.0)
SOFTWARE_VERSION = 5017
TORQUE_CONSTANT = 0.945  # Nm/A at the output of a DM-J4310


class DamiaoMotor(CanMotor):
    """States, registers, feedback and the communication timeout.

    A command with a position gain moves the joint to its position; without one the joint is limp.
    Gains, feed-forward and velocity do not shape the motion: the plant's own servo does.
    """

    def __init__(
        self, joint: int, motor_id: int, master_offset: int = 0x10, ranges: Ranges = DM_J4310
    ) -> None:
        super().__init__(joint, motor_id)
        self.state = DISABLED
        self.ranges = ranges
        self.registers: dict[int, bytes] = {
            Register.KT_VALUE: struct.pack("<f", TORQUE_CONSTANT),
            Register.MST_ID: struct.pack("<I", motor_id + master_offset),
            Register.ESC_ID: struct.pack("<I", motor_id),
            Register.SW_VER: struct.pack("<I", SOFTWARE_VERSION),
            Register.TIMEOUT: struct.pack("<I", 0),
            Register.CTRL_MODE: struct.pack("<I", MIT_MODE),
            Register.PMAX: struct.pack("<f", ranges.position),
            Register.VMAX: struct.pack("<f", ranges.velocity),
            Register.TMAX: struct.pack("<f", ranges.torque),
        }
        self._saved = dict(self.registers)
        self._heard_ns = 0

    @property
    def master_id(self) -> int:
        """Id that it answers from."""
        return int.from_bytes(self.registers[Register.MST_ID], "little")

    def hear(self, frame: CanFrame) -> list[CanFrame]:
        """Obey a command or a register frame for this motor."""
        if not self.power or frame.extended or frame.remote or len(frame.data) != 8:
            return []
        if frame.can_id == REGISTER_ID:
            return self._register(frame.data) if frame.data[0] == self.device_id else []
        if frame.can_id != self.device_id:
            return []
        self._heard_ns = frame.stamp_ns
        if frame.data[:7] == b"\xff" * 7 and frame.data[7] >= Special.CLEAR_ERRORS:
            self._obey(frame.data[7])
        elif self.state == ENABLED:
            self._move(frame.data)
        return [self._feedback()]

    def _obey(self, what: int) -> None:
        if what == Special.ENABLE and self.state == DISABLED:
            self.state = ENABLED  # limp until a command with gains comes
        elif what == Special.DISABLE:
            self.state = DISABLED
            self.release()
        elif what == Special.CLEAR_ERRORS and self.state not in (DISABLED, ENABLED):
            self.state = DISABLED

    def _move(self, data: bytes) -> None:
        command = codec.read_mit_command(data, self.ranges)
        if command.kp <= 0:
            self.release()
            return
        self.move_to(command.position)
        self.grip()

    def _register(self, data: bytes) -> list[CanFrame]:
        access, register = data[2], data[3]
        if access == Access.REFRESH:
            return [self._feedback()]
        if access == Access.SAVE:
            return self._save(data)
        if register not in self.registers or access not in (Access.READ, Access.WRITE):
            return []
        asked_as = self.device_id
        if access == Access.WRITE and register != Register.SW_VER:
            self.registers[register] = data[4:]
            self.device_id = self._own_id()
        answer = RegisterAnswer(access, register, self.registers[register])
        return [codec.register_answer(self.master_id, asked_as, answer)]

    def _own_id(self) -> int:
        return int.from_bytes(self.registers[Register.ESC_ID], "little")

    def _save(self, data: bytes) -> list[CanFrame]:
        if self.state == ENABLED:
            return []
        self._saved = dict(self.registers)
        answer = RegisterAnswer(Access.SAVE, data[3], data[4:])
        return [codec.register_answer(self.master_id, self.device_id, answer)]

    def _feedback(self) -> CanFrame:
        torque = self.current_ma / 1000.0 * TORQUE_CONSTANT
        value = Feedback(self.state, self.position_rad, self.velocity_rad_s, torque)
        return codec.feedback(self.master_id, self.device_id, value, self.ranges)

    def tick(self, now_ns: int) -> list[CanFrame]:
        """Disable after the communication timeout, as the manual says."""
        timeout_us = TIMEOUT_UNIT_US * int.from_bytes(self.registers[Register.TIMEOUT], "little")
        silence_ns = now_ns - self._heard_ns
        if self.state == ENABLED and 0 < timeout_us * 1000 < silence_ns:
            self.watchdog_trips += 1
            self.fail(LOST_COMMUNICATION)
        return []

    def fail(self, state: int) -> None:
        """Take a fault state: torque goes."""
        self.state = state
        self.release()

    def hold(self) -> None:
        """Enabled, holding where it stands."""
        self.state = ENABLED
        self.aim_here()
        self.grip()

    def restart(self) -> None:
        """As at power-on: disabled, the registers as they were saved."""
        super().restart()
        self.state = DISABLED
        self.registers = dict(self._saved)
        self.device_id = self._own_id()
