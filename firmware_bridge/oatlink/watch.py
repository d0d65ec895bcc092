"""What the host knows about its controller: who it is, its last report, what is wrong."""

from __future__ import annotations

import time

from firmware_bridge.messages import JointState
from firmware_bridge.oatlink import messages, units
from firmware_bridge.oatlink.codes import LatchReason, RejectReason
from firmware_bridge.oatlink.link import OatLink
from firmware_bridge.oatlink.messages import Telemetry, Welcome
from firmware_bridge.oatlink.wire import Frame, Header, MessageType

NO_SUSPECT = 255
_MOTOR_FAULTS: dict[int, str] = {
    LatchReason.MOTOR_FAULT: "is at fault",
    LatchReason.MOTOR_LIMP: "was silent and has no torque: it rebooted",
}


class ControllerWatch:
    """Takes frames as they come. ``rebooted`` is set when the boot id changed, by nobody unset."""

    def __init__(self, link: OatLink, joints: int) -> None:
        self._link = link
        self._joints = joints
        self.restart()

    def restart(self) -> None:
        """Forget the controller."""
        self.welcome: Welcome | None = None
        self.telemetry: Telemetry | None = None
        self.state: JointState | None = None
        self.suspect: int | None = None  # the last one that was silent, at fault or limp
        self.config_crc = 0
        self.heard_ns = 0
        self.rebooted = False

    def forget_state(self) -> None:
        """Forget what was measured and reported."""
        self.telemetry = self.state = None

    def forget_telemetry(self) -> None:
        """Forget the last report; what was measured stays."""
        self.telemetry = None

    def take(self, frame: Frame) -> None:
        """Take a frame that nobody waited for."""
        if frame.header.message_type == MessageType.TELEMETRY:
            self._take_telemetry(frame.header, messages.unpack_telemetry(frame.body))
        elif frame.header.message_type == MessageType.WELCOME:
            welcome = self._link.take_welcome(frame)
            if welcome is not None:
                self.take_welcome(welcome)

    def take_welcome(self, welcome: Welcome) -> None:
        """Take who the controller is."""
        if self.welcome is not None and welcome.boot_id != self.welcome.boot_id:
            self.rebooted = True
        self.welcome = welcome
        self.suspect = None if welcome.suspect == NO_SUSPECT else welcome.suspect
        self.config_crc = welcome.config_crc
        self.heard_ns = time.monotonic_ns()

    def _take_telemetry(self, header: Header, telemetry: Telemetry | None) -> None:
        if telemetry is None or len(telemetry.position) != self._joints:
            return
        self.heard_ns = time.monotonic_ns()
        if self.telemetry is None or telemetry.latch_reason != self.telemetry.latch_reason:
            self.suspect = None  # who was it this time?
        self.telemetry = telemetry
        if telemetry.age_us is None:
            return
        measured_ns = self._link.clock.host_ns(header.time_us - telemetry.age_us)
        if self.state is not None and measured_ns <= self.state.stamp_ns:
            return  # reported again: the motors did not answer since
        self.state = JointState(
            measured_ns,
            units.position_rad(telemetry.position),
            units.velocity_rad_s(telemetry.velocity),
            telemetry.current.astype(float),
        )

    @property
    def motor_fault(self) -> str | None:
        """What is wrong with the motor because of which the controller latched, if with any."""
        if self.telemetry is None:
            return None
        return _MOTOR_FAULTS.get(self.telemetry.latch_reason)

    def complaint(self, otherwise: str) -> str:
        """Who is silent, in one line."""
        return otherwise if self.suspect is None else f"no answer from motor {self.suspect}"


def why(telemetry: Telemetry) -> str:
    """Why a controller latched, in words: its reason, and what it refused last."""
    reason = _words(LatchReason, telemetry.latch_reason)
    if telemetry.reject_reason == RejectReason.NONE:
        return reason
    return f"{reason}; setpoints last refused: {_words(RejectReason, telemetry.reject_reason)}"


def _words(names: type[LatchReason] | type[RejectReason], value: int) -> str:
    known = value in names.__members__.values()
    return names(value).name.lower().replace("_", " ") if known else f"reason {value}"
