"""``JointBus`` over a chain of Dynamixel X-series servos."""

from __future__ import annotations

import time

import numpy as np

from firmware_bridge.bus import checked_position_rad
from firmware_bridge.dynamixel.config import DynamixelConfig
from firmware_bridge.dynamixel.cycle import GoalFrame, StateCollector, StateQuestion
from firmware_bridge.dynamixel.link import ServoLink
from firmware_bridge.dynamixel.registers import Register, describe_hardware_error
from firmware_bridge.dynamixel.setup import ServoSetup
from firmware_bridge.dynamixel.units import JointUnits
from firmware_bridge.errors import BridgeError, BusTimeout, DeviceError
from firmware_bridge.long_silence import LongSilence
from firmware_bridge.messages import JointState, SafeSetpoint
from firmware_bridge.transports import Transport

BITS_PER_BYTE = 10  # start, 8 data, stop
QUIET_NS = 300_000  # a line silent this long carries no late answer any more


class DynamixelBus:
    """Seven (or any number of) servos, read by one (fast) sync read and written by one sync write.

    Torque is left alone except by ``enable`` and ``disable``. Targets beyond a servo's own position
    limits are clipped to them: the servo would silently ignore such a goal. When this side has been
    silent for so long that the servos' watchdog may have tripped, ``write_setpoints`` asks them and
    raises ``DeviceError``; ``enable`` starts again from the measured position. ``read_state`` does
    so, too, once a servo that had been silent answers without torque: it rebooted.
    """

    def __init__(self, transport: Transport, config: DynamixelConfig) -> None:
        self._transport = transport
        self._config = config
        self._units = JointUnits(config.directions, config.zero_offsets_rad)
        self._link = ServoLink(transport)
        self._setup = ServoSetup(self._link, config)
        self._goal_frame = GoalFrame(config.ids)
        question = StateQuestion(config.ids, config.fast_sync)
        self._question, self._answer_length = question.frame, question.answer_length
        self._collector = StateCollector(question)
        self._byte_ns = BITS_PER_BYTE * 1_000_000_000 // config.baud
        self._wire_ns = (len(self._question) + self._answer_length) * self._byte_ns
        self._attempt_ns = self._wire_ns + config.reply_slack_us * 1000
        self._doubt_ns = config.watchdog_ms * 500_000  # half the watchdog, in ns
        self._limits = (np.zeros(len(config.ids)), np.zeros(len(config.ids)))
        self._sent_ns = 0
        self._setpoints_through_ns = 0  # when the last setpoints have left the wire
        self._line_is_clean = True
        self._silence = LongSilence()
        self._enabled = False

    def open(self) -> None:
        """Open the port and check each servo; see ``JointBus.open``."""
        self._transport.open()
        try:
            self._limits = self._setup.check()
        except BridgeError:
            self._transport.close()
            raise

    def read_state(self) -> JointState:
        """Read all joints; see ``JointBus.read_state``. Takes at most ``read_budget_us``."""
        start_ns = time.monotonic_ns()
        budget_end_ns = start_ns + self._config.read_budget_us * 1000
        if not self._line_is_clean:
            self._drain(budget_end_ns)
        stamp_ns = self._ask_state(budget_end_ns)
        if self._collector.missing() and time.monotonic_ns() + self._wire_ns < budget_end_ns:
            stamp_ns = self._ask_state(budget_end_ns)
        missing = self._collector.missing()
        self._line_is_clean = not missing
        if missing:
            self._silence.note(missing, start_ns)
            ids = ", ".join(map(str, missing))
            raise BusTimeout(f"no answer from servo {ids} within the read budget")
        self._raise_alerts()
        if (silent := self._silence.end(start_ns)) and self._enabled:
            self._setup.raise_if_limp(silent)
        return self._state(stamp_ns)

    def _drain(self, deadline_ns: int) -> None:
        """Let a late answer to an earlier question pass by; it would look like this one's."""
        while self._transport.read(1, min(deadline_ns, time.monotonic_ns() + QUIET_NS)):
            pass

    def _ask_state(self, budget_end_ns: int) -> int:
        """Ask, and collect answers until complete or late; returns when it had been asked."""
        transport, collector = self._transport, self._collector
        transport.flush_input()
        collector.restart()
        transport.write(self._question)
        sent_ns = self._sent_ns = time.monotonic_ns()
        asked_ns = max(sent_ns, self._setpoints_through_ns)
        deadline_ns = min(asked_ns + self._attempt_ns, budget_end_ns)
        awaited = self._answer_length
        while data := transport.read(awaited, deadline_ns):
            if collector.feed(data):
                break
            awaited = 1
        return sent_ns

    def _raise_alerts(self) -> None:
        for device_id in self._collector.alerts():
            bits = self._link.read(device_id, Register.HARDWARE_ERROR_STATUS)
            raise DeviceError(f"servo {device_id} reports: {describe_hardware_error(bits)}")

    def _state(self, stamp_ns: int) -> JointState:
        measured, units = self._collector.measured(), self._units
        return JointState(
            stamp_ns,
            units.position_rad(measured["position"]),
            units.velocity_rad_s(measured["velocity"]),
            units.current_ma(measured["current"]),
        )

    def write_setpoints(self, setpoint: SafeSetpoint) -> None:
        """Send one goal per joint; see ``JointBus.write_setpoints``."""
        position_rad = checked_position_rad(setpoint, len(self._config.ids))
        if self._enabled and 0 < self._doubt_ns < time.monotonic_ns() - self._sent_ns:
            self._setup.raise_if_watchdog_tripped()
        goal_ticks = self._units.position_ticks(position_rad, *self._limits)
        frame = self._goal_frame.encode(goal_ticks)
        self._transport.write(frame)
        self._sent_ns = time.monotonic_ns()
        self._setpoints_through_ns = self._sent_ns + len(frame) * self._byte_ns

    def enable(self) -> None:
        """Goal = measured position, then watchdog and torque on; see ``JointBus.enable``."""
        self._setup.enable()
        self._enabled = True
        self._silence.forget()
        self._sent_ns = time.monotonic_ns()

    def disable(self) -> None:
        """Torque and watchdog off on every servo that answers; see ``JointBus.disable``."""
        self._enabled = False
        self._setup.disable()

    def close(self) -> None:
        """Give the port back. Servos with torque stop by their watchdog and hold there."""
        self._enabled = False
        self._transport.close()
