"""One emulated ODrive axis (CANSimple, firmware 0.5 or 0.6)."""

from __future__ import annotations

import math

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.emulation.can_motor import NS_PER_MS, CanMotor
from firmware_bridge.odrive import codec
from firmware_bridge.odrive.codec import (
    Address,
    AxisState,
    Command,
    ControlMode,
    Heartbeat,
    RebootAction,
    Version,
)
from firmware_bridge.odrive.errors import ESTOP_0_5, ESTOP_0_6, WATCHDOG_0_5, WATCHDOG_0_6

HEARTBEAT_NS = 100 * NS_PER_MS
RAD_PER_TURN = 2.0 * math.pi
HARDWARE = (4, 4, 58)
SERIAL_NUMBER = 0x3876_0D65_3030


class ODriveAxis(CanMotor):
    """State machine, inputs, heartbeat, watchdog and errors, as far as CANSimple shows them.

    Its watchdog runs in closed loop and is fed by every frame to this node. A frame of a command
    that the firmware does not know is ignored, as the device does.
    """

    def __init__(
        self, joint: int, node: int, firmware: tuple[int, int] = (0, 6), watchdog_ms: int = 0
    ) -> None:
        super().__init__(joint, node)
        self._saved_node = node
        self.serial_number = (SERIAL_NUMBER + joint).to_bytes(6, "little")
        self.firmware = firmware
        self.watchdog_ms = watchdog_ms
        self.axis_error = 0
        self.axis_state = int(AxisState.IDLE)
        self.control_mode = int(ControlMode.POSITION)
        self._fed_ns = 0
        self._next_beat_ns = 0

    def hear(self, frame: CanFrame) -> list[CanFrame]:
        """Obey or answer a frame addressed to this node."""
        node, command = codec.split_id(frame.can_id)
        if frame.extended or node != self.device_id or not self.power:
            return []
        self._fed_ns = frame.stamp_ns
        if frame.remote:
            return self._answer(command)
        self._obey(command, frame.data)
        return []

    def _answer(self, command: int) -> list[CanFrame]:
        node = self.device_id
        if command == Command.GET_ENCODER_ESTIMATES:
            turns = self.position_rad / RAD_PER_TURN
            return [codec.encoder_estimates(node, turns, self.velocity_rad_s / RAD_PER_TURN)]
        if command == Command.GET_IQ:
            return [codec.iq(node, self.current_ma / 1000.0, self.current_ma / 1000.0)]
        if command == Command.GET_VERSION and self.firmware >= (0, 6):
            return [codec.version(node, Version(HARDWARE, (*self.firmware, 11)))]
        if command == Command.ADDRESS and self.firmware >= (0, 6):
            return [codec.address(Address(node, self.serial_number))]
        return []

    def _obey(self, command: int, data: bytes) -> None:
        if command == Command.SET_AXIS_STATE and len(data) >= 4:
            self._set_state(int.from_bytes(data[:4], "little"))
        elif command == Command.SET_CONTROLLER_MODE and len(data) == 8:
            self._set_control_mode(int.from_bytes(data[:4], "little"))
        elif command == Command.SET_INPUT_POS and len(data) == 8:
            turns = codec.read_pair(data)
            if turns is not None and math.isfinite(turns[0]) and not self._turns_freely:
                self.move_to(turns[0] * RAD_PER_TURN)
        elif command == Command.SET_INPUT_VEL and len(data) == 8:
            turns_s = codec.read_pair(data)
            if turns_s is not None and math.isfinite(turns_s[0]) and self._turns_freely:
                self.turn_at(turns_s[0] * RAD_PER_TURN)
        elif command == Command.CLEAR_ERRORS:
            self.axis_error = 0
        elif command == Command.ESTOP:
            self.fail(ESTOP_0_5 if self.firmware < (0, 6) else ESTOP_0_6)
        elif command == Command.ADDRESS and self.firmware >= (0, 6):
            self._take_address(codec.read_address(data))
        elif command == Command.REBOOT:
            if data[:1] == bytes((RebootAction.SAVE,)):
                self._saved_node = self.device_id
            self.restart()

    def _take_address(self, wanted: Address | None) -> None:
        """A node id for the axis of a serial number; lost with power unless it is saved."""
        if wanted is not None and wanted.serial_number == self.serial_number:
            self.device_id = wanted.node

    @property
    def _turns_freely(self) -> bool:
        return self.control_mode == ControlMode.VELOCITY

    def _set_control_mode(self, mode: int) -> None:
        self.control_mode = mode
        if self._turns_freely:
            self.turn_at(0.0)
        else:
            self.aim_here()

    def _set_state(self, state: int) -> None:
        if state == AxisState.CLOSED_LOOP_CONTROL and not self.axis_error:
            self.axis_state = state
            if self._turns_freely:
                self.turn_at(self.turning_rad_s or 0.0)  # from where it was left to turn freely
            self.grip()
        elif state == AxisState.IDLE:
            self.axis_state = state
            self.release()

    def fail(self, bits: int) -> None:
        """Raise axis error bits: the axis disarms itself."""
        self.axis_error |= bits
        self.axis_state = int(AxisState.IDLE)
        self.release()

    def tick(self, now_ns: int) -> list[CanFrame]:
        """Heartbeat, and the watchdog while in closed loop."""
        if not self.power:
            return []
        silence_ns = now_ns - self._fed_ns
        if self.has_torque and 0 < self.watchdog_ms * NS_PER_MS < silence_ns:
            self.watchdog_trips += 1
            self.fail(WATCHDOG_0_5 if self.firmware < (0, 6) else WATCHDOG_0_6)
        if now_ns < self._next_beat_ns:
            return []
        self._next_beat_ns = max(self._next_beat_ns + HEARTBEAT_NS, now_ns)
        beat = Heartbeat(self.axis_error, self.axis_state)
        make = codec.heartbeat_0_5 if self.firmware < (0, 6) else codec.heartbeat_0_6
        return [make(self.device_id, beat)]

    def hold(self) -> None:
        """Closed loop where it stands."""
        self.aim_here()
        self._set_state(AxisState.CLOSED_LOOP_CONTROL)

    def restart(self) -> None:
        """As at power-on: idle, no errors."""
        super().restart()
        self.device_id = self._saved_node
        self.axis_error, self.axis_state = 0, int(AxisState.IDLE)
