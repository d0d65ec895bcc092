"""``JointBus`` over an oatlink controller."""

from __future__ import annotations

import time

from firmware_bridge.bus import checked_position_rad
from firmware_bridge.errors import BridgeError, BusTimeout, DeviceError
from firmware_bridge.messages import JointState, SafeSetpoint
from firmware_bridge.oatlink import messages, units
from firmware_bridge.oatlink.codes import State
from firmware_bridge.oatlink.config import OatlinkConfig
from firmware_bridge.oatlink.lines import PayloadLine
from firmware_bridge.oatlink.link import OatLink
from firmware_bridge.oatlink.schedule import KnotSchedule
from firmware_bridge.oatlink.watch import ControllerWatch, why
from firmware_bridge.oatlink.wire import Frame, MessageType

TIME_PERIOD_NS = 980_000_000
TIME_BUDGET_NS = 2_000_000
FIRST_STATE_NS = 1_000_000_000
DOUBT_NS = 30_000_000  # no fresh state for so long: ask who is there
PROBE_PERIOD_NS = 50_000_000


class OatlinkBus:
    """Joints behind a controller that queues, checks and interpolates setpoints itself.

    A setpoint is reached ``lead_us`` after its tick. The controller reports unasked, after each of
    its motor cycles: ``read_state`` hands out the newest report, or waits for the next; its stamp
    is when the controller asked the motors, up to a cycle before the call. A controller that
    latched (silence, a motor lost, limp or at fault, an emergency stop) or rebooted makes
    ``write_setpoints`` raise ``DeviceError`` until ``enable``, which starts from the measured
    position.
    """

    def __init__(self, line: PayloadLine, config: OatlinkConfig) -> None:
        self._line = line
        self._config = config
        self._link = OatLink(line, config.key, self._on_frame)
        self.watch = ControllerWatch(self._link, len(config.joints))
        self._schedule = KnotSchedule(config.period_us * 1000, config.lead_us * 1000, config.knots)
        self._armed = False
        self._returned_ns = 0
        self._opened_ns = 0
        self._next_time_ns = 0
        self._next_probe_ns = 0

    def open(self) -> None:
        """Open the port and configure the controller; see ``JointBus.open``. Moves nothing."""
        self._armed = False
        self._line.open()
        try:
            self._link.restart()
            self.watch.restart()
            self.watch.take_welcome(self._link.hello())
            self._prepare()
            self._await_first_state()
            self._opened_ns = time.monotonic_ns()
        except BridgeError:
            self._line.close()
            raise

    def _prepare(self) -> None:
        """Learn the clock and see to it that the controller has our limits."""
        self._link.synchronise()
        self._next_time_ns = time.monotonic_ns() + TIME_PERIOD_NS
        self.watch.rebooted = False
        if self.watch.config_crc != self._config.crc:
            for record in self._config.records:
                self._link.request(MessageType.CONFIG, record)
            self.watch.config_crc = self._config.crc

    def _await_first_state(self) -> None:
        give_up_ns = time.monotonic_ns() + FIRST_STATE_NS
        while self.watch.state is None:
            if time.monotonic_ns() > give_up_ns:
                self.watch.take_welcome(self._link.hello())
                raise BusTimeout(self.watch.complaint("the controller does not report"))
            self._listen(give_up_ns)

    def read_state(self) -> JointState:
        """The newest report; see ``JointBus.read_state``. Takes at most ``read_budget_us``."""
        start_ns = time.monotonic_ns()
        deadline_ns = start_ns + self._config.read_budget_us * 1000
        if start_ns >= self._next_time_ns:
            self._next_time_ns = start_ns + TIME_PERIOD_NS
            self._link.follow_clock(TIME_BUDGET_NS)
        self._await_news(start_ns, deadline_ns)
        if self.watch.rebooted:
            self._recover()
        self._raise_fault()
        if not self._has_news() or self.watch.state is None:
            raise BusTimeout(self.watch.complaint("the controller has no fresh report"))
        self._returned_ns = self.watch.state.stamp_ns
        return self.watch.state

    def _await_news(self, start_ns: int, deadline_ns: int) -> None:
        """Listen until a new state is there; half-way, ask who is there if that takes long."""
        self._listen(start_ns)
        half_ns = (start_ns + deadline_ns) // 2
        while not self._has_news() and (now_ns := time.monotonic_ns()) < deadline_ns:
            if now_ns >= half_ns:
                self._probe(now_ns)
            self._listen(half_ns if now_ns < half_ns else deadline_ns)

    def _has_news(self) -> bool:
        return self.watch.state is not None and self.watch.state.stamp_ns > self._returned_ns

    def _listen(self, deadline_ns: int) -> None:
        for frame in self._link.receive(deadline_ns):
            self.watch.take(frame)

    def _on_frame(self, frame: Frame) -> None:
        self.watch.take(frame)

    def _probe(self, now_ns: int) -> None:
        """Say HELLO: it reaches a controller that rebooted, and brings the name of a lost motor."""
        quiet_ns = now_ns - max(self._returned_ns, self._opened_ns)
        if quiet_ns > DOUBT_NS and now_ns >= self._next_probe_ns:
            self._next_probe_ns = now_ns + PROBE_PERIOD_NS
            self._link.ask_welcome()

    def _recover(self) -> None:
        """Bring a rebooted controller to where it reports again; it stays disarmed."""
        self._armed = False
        self._returned_ns = 0
        self.watch.forget_state()
        self._prepare()

    def _raise_fault(self) -> None:
        fault = self.watch.motor_fault
        if fault is None:
            return
        if self.watch.suspect is None:
            self._link.ask_welcome()  # the name comes before the next reading
            raise DeviceError(f"a motor {fault}; the controller stopped")
        raise DeviceError(f"motor {self.watch.suspect} {fault}; the controller stopped")

    def write_setpoints(self, setpoint: SafeSetpoint) -> None:
        """Queue one setpoint, and the ones before it again; see ``JointBus.write_setpoints``."""
        position_rad = checked_position_rad(setpoint, len(self._config.joints))
        self._raise_unless_armed()
        knots = self._schedule.add(setpoint.stamp_ns, units.angle_units(position_rad))
        clock = self._link.clock
        times_us = [clock.controller_us(knot.time_ns) for knot in knots]
        self._link.send(MessageType.SETPOINTS, messages.pack_knots(times_us, knots))

    def _raise_unless_armed(self) -> None:
        now_ns = time.monotonic_ns()
        if not self._armed or now_ns - self.watch.heard_ns > DOUBT_NS:
            self._listen(now_ns)  # it may have said long ago that it stopped
        self._raise_fault()
        if not self._armed:
            raise DeviceError("the controller is not armed: enable first")
        telemetry = self.watch.telemetry
        if telemetry is None or telemetry.state in (State.ARMED, State.HOLDING):
            return
        self._armed = False
        raise DeviceError(f"the controller stopped by itself ({why(telemetry)}); enable again")

    def enable(self) -> None:
        """Arm the controller where the arm stands; see ``JointBus.enable``."""
        if self.watch.rebooted:
            self._recover()
        self._link.synchronise()
        body = messages.pack_word(self._config.crc)
        self._link.request(MessageType.ARM, body)
        self.watch.forget_telemetry()  # what it said before it was armed
        self._schedule.reset()
        self._armed = True

    def disable(self) -> None:
        """Torque off on every motor; see ``JointBus.disable``."""
        self._armed = False
        self._link.request(MessageType.DISARM)

    def stop(self) -> None:
        """Emergency stop: torque off at once, and nothing moves before ``disable``."""
        self._armed = False
        self._link.request(MessageType.ESTOP)

    def close(self) -> None:
        """Give the port back; a controller left armed decelerates, holds and latches."""
        self._armed = False
        self._line.close()
