"""``JointBus`` over a chain of Feetech STS or SMS servos."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from firmware_bridge.bus import checked_position_rad
from firmware_bridge.errors import BridgeError, BusTimeout, DeviceError
from firmware_bridge.feetech import codec
from firmware_bridge.feetech.codec import Packet, PacketParser
from firmware_bridge.feetech.config import FeetechConfig, FeetechUnits
from firmware_bridge.feetech.goal_frame import GoalFrame
from firmware_bridge.feetech.link import ServoLink
from firmware_bridge.feetech.plausibility import Plausibility
from firmware_bridge.feetech.registers import Register, describe_status, from_sign_magnitude
from firmware_bridge.feetech.setup import ServoSetup
from firmware_bridge.feetech.whole_answer import WHOLE_LENGTH, Readings, WholeAnswer
from firmware_bridge.long_silence import LongSilence
from firmware_bridge.messages import Float64Array, JointState, SafeSetpoint
from firmware_bridge.transports import Transport

BITS_PER_BYTE = 10
QUIET_NS = 300_000  # a line silent this long carries no late answer any more
MOTION_LENGTH = 4  # position and speed
CURRENT_AT = Register.PRESENT_CURRENT - Register.PRESENT_POSITION
SIGN_BIT = 15


class FeetechBus:
    """Read by one sync read (an STS or SMS function, SCS has none), written by one sync write.

    Only servos that are missing or whose reading is implausible are asked a second time. A servo
    that had been silent and answers without torque has rebooted: ``read_state`` raises
    ``DeviceError``.
    """

    def __init__(self, transport: Transport, config: FeetechConfig) -> None:
        self._transport = transport
        self._config = config
        self._ids = config.joints.ids
        self._units = FeetechUnits(config.joints)
        self._link = ServoLink(transport)
        self._setup = ServoSetup(self._link, self._ids)
        self._parser = PacketParser()
        self._length = WHOLE_LENGTH if config.with_currents else MOTION_LENGTH
        self._joint_by_id = {device_id: joint for joint, device_id in enumerate(self._ids)}
        self._question = codec.sync_read(Register.PRESENT_POSITION, self._length, self._ids)
        self._goal_frame = GoalFrame(self._ids)
        self._ns_per_byte = BITS_PER_BYTE * 1_000_000_000 // config.baud
        self._whole = WholeAnswer(self._ids, self._length)
        self._plausibility = Plausibility(len(self._ids))
        self._readings: list[tuple[int, int, float] | None] = [None] * len(self._ids)
        self._at_once: Readings | None = None
        self._no_current = (math.nan,) * len(self._ids)
        self._limits = (np.zeros(len(self._ids)), np.zeros(len(self._ids)))
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
        self._plausibility = Plausibility(len(self._ids))

    def read_state(self) -> JointState:
        """Read all joints; see ``JointBus.read_state``. Takes at most ``read_budget_us``."""
        start_ns = time.monotonic_ns()
        budget_end_ns = start_ns + self._config.read_budget_us * 1000
        if not self._line_is_clean:
            self._drain(budget_end_ns)
        self._readings, self._at_once = [None] * len(self._ids), None
        stamp_ns = self._ask(self._question, len(self._ids), budget_end_ns)
        if (missing := self._missing()) and time.monotonic_ns() < budget_end_ns:
            again = codec.sync_read(Register.PRESENT_POSITION, self._length, missing)
            stamp_ns = self._ask(again, len(missing), budget_end_ns)
        missing = self._missing()
        self._line_is_clean = not missing
        if missing:
            self._silence.note(missing, start_ns)
            ids = ", ".join(map(str, missing))
            raise BusTimeout(f"no answer from servo {ids} (or none to believe) in the read budget")
        if (silent := self._silence.end(start_ns)) and self._enabled:
            self._setup.raise_if_limp(silent)
        return self._state(stamp_ns, self._at_once or self._one_by_one())

    def _one_by_one(self) -> Readings:
        ticks, speeds, currents = zip(*filter(None, self._readings), strict=True)
        return Readings(ticks, speeds, currents)

    def _missing(self) -> Sequence[int]:
        if self._at_once is not None:
            return ()
        pairs = zip(self._ids, self._readings, strict=True)
        return [device_id for device_id, reading in pairs if reading is None]

    def _drain(self, deadline_ns: int) -> None:
        """Let a late answer to an earlier question pass by; it would look like this one's."""
        while self._transport.read(1, min(deadline_ns, time.monotonic_ns() + QUIET_NS)):
            pass

    def _ask(self, question: bytes, servos: int, budget_end_ns: int) -> int:
        """Ask, and take in answers until complete or late; returns when it had been asked."""
        transport = self._transport
        transport.flush_input()
        self._parser.reset()
        transport.write(question)
        sent_ns = time.monotonic_ns()
        awaited = servos * (codec.OVERHEAD + self._length)
        wire_ns = (len(question) + awaited) * self._ns_per_byte
        slack_ns = self._config.reply_slack_us * 1000
        deadline_ns = min(sent_ns + wire_ns + slack_ns, budget_end_ns)
        answers = 0
        while answers < servos and (data := transport.read(awaited, deadline_ns)):
            if answers == 0 and self._take_whole(data):
                return sent_ns
            awaited = 1
            for packet in self._parser.feed(data):
                answers += 1
                self._accept(packet)
        return sent_ns

    def _take_whole(self, data: bytes) -> bool:
        """Take in flawless answers of all servos at once; nothing of them if one is to be judged
        by itself.
        """
        readings = self._whole.readings(data)
        if readings is None:
            return False
        now_ns = time.monotonic_ns()
        if not self._plausibility.accepts_all(readings.ticks, readings.ticks_per_s, now_ns):
            return False
        self._at_once = readings
        return True

    def _accept(self, packet: Packet) -> None:
        joint = self._joint_by_id.get(packet.device_id)
        data = packet.parameters
        if joint is None or len(data) != self._length:
            return
        if packet.code:
            names = describe_status(packet.code)
            raise DeviceError(f"servo {packet.device_id} reports: {names}")
        ticks = from_sign_magnitude(data[0] | data[1] << 8, SIGN_BIT)
        speed = from_sign_magnitude(data[2] | data[3] << 8, SIGN_BIT)
        current = math.nan
        if self._config.with_currents:
            raw = data[CURRENT_AT] | data[CURRENT_AT + 1] << 8
            current = from_sign_magnitude(raw, SIGN_BIT)
        if self._plausibility.accepts(joint, ticks, speed, time.monotonic_ns()):
            self._readings[joint] = (ticks, speed, current)

    def _state(self, stamp_ns: int, readings: Readings) -> JointState:
        units = self._units
        current: Float64Array = np.array(readings.current or self._no_current, dtype=np.float64)
        return JointState(
            stamp_ns,
            units.position_rad(np.array(readings.ticks, dtype=np.float64)),
            units.velocity_rad_s(np.array(readings.ticks_per_s, dtype=np.float64)),
            units.current_ma(current),
        )

    def write_setpoints(self, setpoint: SafeSetpoint) -> None:
        """Send one goal per joint; see ``JointBus.write_setpoints``."""
        position_rad = checked_position_rad(setpoint, len(self._ids))
        goals = self._units.position_ticks(position_rad, *self._limits)
        self._transport.write(self._goal_frame.encode(goals))

    def enable(self) -> None:
        """Goal = measured position, then torque on; see ``JointBus.enable``."""
        self._setup.enable()
        self._enabled = True
        self._silence.forget()

    def disable(self) -> None:
        """Torque off on every servo that answers; see ``JointBus.disable``."""
        self._enabled = False
        self._setup.disable()

    def close(self) -> None:
        """Give the port back; servos with torque hold their last goal."""
        self._enabled = False
        self._transport.close()
