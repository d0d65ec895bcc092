"""The pilot: from a reading of the joints to the setpoint of this tick, or to none.

It obeys the operator, senses, asks for plans, chooses the rung and moves accordingly; whatever it
decides goes through the safety filter. It is handed the time and never reads a clock.

Plans and the start posture are for the joints that take positions. Those that take velocities, a
base's wheels, follow its operator's velocities on the rung ``drive`` and come to rest on any other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge import ladder
from edge.bundle import Manifest
from edge.chunks import Follower, Ramp
from edge.drive import DriveReference
from edge.engaging import Engageable, Engagement
from edge.ladder import Mode, Rung, Situation
from edge.operator import Operator
from edge.rates import NS_PER_MS
from edge.reading import Reading
from edge.requests import PlanRequests
from edge.robot import Robot
from edge.safety import Limits, SafetyFilter, Stop
from edge.sensing import Sensing, planned_joints
from edge.shared_memory import Record
from edge.turning import TurningWatch
from firmware_bridge.errors import BridgeError
from firmware_bridge.messages import Float64Array, SafeSetpoint

HOME_TOLERANCE_RAD = 1e-3
MOVING = (Mode.HOME, Mode.POLICY, Mode.DRIVE)


class Pilot:
    """Decides every tick. ``joints`` are engaged where they are, while ticks go on."""

    def __init__(
        self,
        robot: Robot,
        manifest: Manifest,
        operator: Operator,
        sensing: Sensing,
        requests: PlanRequests,
        joints: Engageable,
        drive: DriveReference | None = None,
    ) -> None:
        """``drive`` is needed by robots with joints that take velocities."""
        self._operator = operator
        self._sensing = sensing
        self._requests = requests
        self._engagement = Engagement(joints)
        self._filter = SafetyFilter(
            tuple(joint.name for joint in robot.joints),
            Limits.of(robot),
            1.0 / robot.servo.rate_hz,
        )
        self._follower = Follower(round(robot.servo.blend_ms * NS_PER_MS))
        self._drive = drive if robot.velocity_joints else None
        self._turning_watch = TurningWatch(robot) if robot.velocity_joints else None
        self._planned = planned_joints(robot)
        self._turning = np.array([robot.takes_velocity(joint) for joint in robot.joints])
        self._home_rad = np.array([joint.home_rad for joint in robot.position_joints])
        self._held_rad = self._home_rad
        self._ramp_velocity = robot.servo.ramp_velocity_rad_s
        self._ramp: Ramp | None = None
        self._tokens = manifest.tokenizer.tokens
        self._mode = Mode.IDLE
        self._latched: Stop | None = None
        self._disarmed = False
        self._arms = 0
        self._reference = np.zeros(len(robot.joints))
        self._rung = Rung.DISENGAGED
        self._reason = ""
        self._may_plan = False

    @property
    def may_end(self) -> bool:
        """Whether the arm stands still, or is not ours."""
        return self._filter.at_rest or not self._filter.engaged

    def decide(self, reading: Reading, now_ns: int) -> SafeSetpoint | None:
        """This tick's setpoint; None where nothing may be sent."""
        self._operator.listen()
        if self._drive is not None:
            self._drive.listen()
        self._may_plan = False
        stop = self._sensing.update(reading, self._filter.position_rad, now_ns)
        if self._engagement.pending:
            if self._await_engagement(reading, stop, now_ns):
                return None  # torque is on and the goal is where the joints are: no setpoint yet
        elif stop is None:
            self._obey(reading, now_ns)
        self._heed_refusal(reading)
        if self._disarmed and stop is not None and not self._engagement.pending:
            self._arms = self._operator.arms  # what is asked while nothing can be seen counts not
        stop = self._why_disarmed or self._why_engaging or stop or self._operator.lease(now_ns)
        stop = stop or self._check_tracking(reading)
        self._take_chunk(now_ns)
        self._change_rung(stop, now_ns)
        self._may_plan = stop is None
        if self._engagement.pending and not self._engagement.holds_any:
            return None
        return self._move(now_ns)

    def give_notice(self, expected_ns: int) -> None:
        """Tell the planner where this tick will ask for a plan, at about ``expected_ns``."""
        if self._may_plan and self._plan_is_due(expected_ns):
            self._requests.give_notice(expected_ns)

    def ask_for_plan(self, now_ns: int) -> None:
        """Ask when a plan is due; not while slowing down, for that plan would be void.

        Called after the setpoint went out: the planned motion starts from it, and the planner does
        not compete with the rest of the tick.
        """
        if self._may_plan and self._plan_is_due(now_ns):
            self._requests.ask(self._sensing, self._filter.position_rad[self._planned], now_ns)

    def _plan_is_due(self, now_ns: int) -> bool:
        if self._mode is not Mode.POLICY or self._rung is Rung.DECELERATE:
            return False
        return self._requests.due(self._follower.chunk, now_ns)

    def describe(self, tick: Record, now_ns: int) -> None:
        """Write what was decided into a tick's record."""
        chunk = self._follower.chunk
        tick["mode"] = self._mode
        tick["episode"] = self._operator.episode
        tick["rung"] = self._rung
        tick["reason"] = self._reason.encode()
        tick["at_home"] = self._at_home(now_ns)
        tick["disarmed"] = self._disarmed
        tick["prefix"] = chunk.prefix if chunk is not None else 0
        tick["plan"] = chunk.plan if chunk is not None else 0
        tick["plan_age_ns"] = now_ns - chunk.observed_ns if chunk is not None else 0
        tick["reference"] = self._reference
        tick["command"] = self._filter.position_rad

    def latch(self, reason: str) -> None:
        """Joints stopped by themselves: hold the others until a person asks to arm them."""
        self._engagement.abandon()
        self._latched = Stop(reason)
        self._disarmed = True
        self._arms = self._operator.arms

    def release(self, reason: str) -> None:
        """No joint is ours any more; only a person who asks to arm them has them engaged anew."""
        self._filter.disengage()
        self._forget()
        self.latch(reason)
        self._rung, self._reason = Rung.DISENGAGED, reason

    def _obey(self, reading: Reading, now_ns: int) -> None:
        """Take over the operator's mode, or begin to engage the joints for it.

        Motion asked for after a stop starts from the measured position, as the first one does, and
        only from a fresh, good reading. Disarmed joints keep still until a person has asked.
        """
        mode = self._operator.mode
        armed = self._disarmed and self._operator.arms != self._arms
        if mode is self._mode and not armed:
            return
        if not (mode in MOVING and (self._latched is not None or not self._filter.engaged)):
            self._take_mode(now_ns)
        elif self._may_engage(reading, armed, now_ns):
            self._attempt(lambda: self._engagement.begin(reading, now_ns))

    def _may_engage(self, reading: Reading, armed: bool, now_ns: int) -> bool:
        allowed = armed or not self._disarmed
        return allowed and self.may_end and reading.fresh and self._operator.lease(now_ns) is None

    def _take_mode(self, now_ns: int) -> None:
        self._mode = mode = self._operator.mode
        if not self._disarmed:
            self._latched = None
        self._ramp = None
        self._forget()
        if self._drive is not None:
            self._drive.forget()
        if mode is Mode.POLICY:
            self._requests.announce(now_ns)

    def _await_engagement(self, reading: Reading, stop: Stop | None, now_ns: int) -> bool:
        """Look after joints that are being enabled; True where this tick starts from them.

        Whoever asks for a stop meanwhile, or falls silent, ends it at once.
        """
        if self._operator.mode not in MOVING or self._operator.lease(now_ns) is not None:
            self._give_up()
            return False
        ready = self._attempt(lambda: self._engagement.look(reading, now_ns))
        if not ready or stop is not None or reading.state is None:
            if self._engagement.pending and self._engagement.overdue(now_ns):
                self._give_up()  # enabled, but blind: begun anew once something can be seen
            return False
        if self._filter.engage(reading.state.position_rad) is not None:
            return False
        self._engagement.confirm()
        self._disarmed, self._latched = False, None
        self._take_mode(now_ns)
        return True

    def _attempt(self, step: Callable[[], bool | None]) -> bool:
        """A step of engaging. Where it fails the joints are not ours; at the start nobody's are."""
        try:
            return bool(step())
        except BridgeError as error:
            if not self._filter.engaged and not self._disarmed:
                raise
            if self._engagement.holds_any:
                self.latch(str(error))
            else:
                self.release(str(error))
            return False

    def _give_up(self) -> None:
        """Joints that were being enabled are not ours; those of other buses go on being held."""
        if not self._engagement.holds_any:
            self._filter.disengage()
            self._rung, self._reason = Rung.DISENGAGED, ladder.NOT_ENGAGED
        self._engagement.abandon()
        self._arms = self._operator.arms  # a request to arm them is used up

    @property
    def _why_engaging(self) -> Stop | None:
        return Stop("the joints are being engaged") if self._engagement.pending else None

    @property
    def _why_disarmed(self) -> Stop | None:
        return self._latched if self._disarmed else None

    def _heed_refusal(self, reading: Reading) -> None:
        """A device that has stopped by itself stops the robot until somebody arms it."""
        if reading.refused and self._latched is None and self._filter.engaged:
            self.latch(reading.fault)

    def _check_tracking(self, reading: Reading) -> Stop | None:
        """A blocked joint stops the robot until the operator's next mode."""
        state = reading.state
        if self._latched is None and self._filter.engaged and reading.fresh and state:
            self._latched = self._filter.check_tracking(state.position_rad)
            if self._latched is None and self._turning_watch is not None:
                commanded_rad_s = self._filter.velocity_rad_s
                self._latched = self._turning_watch.check(commanded_rad_s, state.velocity_rad_s)
        return self._latched

    def _take_chunk(self, now_ns: int) -> None:
        chunk = self._requests.answer(now_ns)
        if chunk is None or self._mode is not Mode.POLICY:
            return
        if self._follower.chunk is None:
            self._requests.begin(chunk.plan)
        self._follower.accept(chunk, now_ns)
        if self._follower.chunk is not None:
            self._requests.announce_next(self._follower.chunk, now_ns)

    def _change_rung(self, stop: Stop | None, now_ns: int) -> None:
        before = self._rung
        self._rung, self._reason = ladder.climb(before, self._situation(stop, now_ns))
        start_rad = self._filter.position_rad[self._planned]
        if self._rung is Rung.RAMP and before is not Rung.RAMP:
            self._ramp = Ramp(start_rad, self._home_rad, self._ramp_velocity, now_ns)
        if self._rung is Rung.DRIVE and before is not Rung.DRIVE:
            self._held_rad = start_rad.copy()

    def _situation(self, stop: Stop | None, now_ns: int) -> Situation:
        chunk = self._follower.chunk
        return Situation(
            mode=self._mode,
            engaged=self._filter.engaged,
            at_rest=self._filter.at_rest,
            at_home=self._at_home(now_ns),
            stop=stop.reason if stop is not None else "",
            has_reference=self._follower.has_reference(now_ns),
            overdue=self._requests.overdue(now_ns),
            full=chunk is not None and chunk.prefix == self._tokens,
            has_drive=self._base_velocity_rad_s(now_ns) is not None,
        )

    def _base_velocity_rad_s(self, now_ns: int) -> Float64Array | None:
        return None if self._drive is None else self._drive.velocity_rad_s(now_ns)

    def _at_home(self, now_ns: int) -> bool:
        off = np.abs(self._filter.position_rad[self._planned] - self._home_rad).max()
        return self._ramp is not None and self._ramp.finished(now_ns) and off < HOME_TOLERANCE_RAD

    def _move(self, now_ns: int) -> SafeSetpoint | None:
        """The rung's motion through the safety filter; what it refuses becomes a stop."""
        if self._rung is Rung.DISENGAGED:
            return None
        reference = self._next_reference(now_ns)
        if reference is None:
            return self._stop(now_ns)
        self._reference = reference
        verdict = self._filter.track(reference, now_ns)
        if isinstance(verdict, SafeSetpoint):
            return verdict
        self._latched = verdict
        self._change_rung(verdict, now_ns)
        return self._stop(now_ns)

    def _next_reference(self, now_ns: int) -> Float64Array | None:
        if self._rung is Rung.DRIVE:
            return self._of_all(self._held_rad, self._base_velocity_rad_s(now_ns))
        if self._rung is Rung.RAMP and self._ramp is not None:
            return self._of_all(self._ramp.reference(now_ns))
        if self._rung <= Rung.TAIL:
            return self._of_all(self._follower.reference(now_ns + self._filter.delay_ns))
        return None

    def _of_all(
        self, planned_rad: Float64Array, base_rad_s: Float64Array | None = None
    ) -> Float64Array:
        """The reference of all joints: no velocity where none is given."""
        if self._drive is None:
            return planned_rad
        reference = np.zeros(len(self._turning))
        reference[self._planned] = planned_rad
        if base_rad_s is not None:
            reference[self._turning] = base_rad_s
        return reference

    def _stop(self, now_ns: int) -> SafeSetpoint | None:
        self._halt()
        verdict = self._filter.decelerate(now_ns)
        self._reference = self._of_all(self._filter.position_rad[self._planned].copy())
        return verdict if isinstance(verdict, SafeSetpoint) else None

    def _halt(self) -> None:
        """Come to rest; a plan asked for after that, and not answered yet, still counts."""
        if self._follower.chunk is not None:
            self._forget()

    def _forget(self) -> None:
        """Follow nothing; plans made before are void."""
        self._follower.clear()
        self._requests.void()
