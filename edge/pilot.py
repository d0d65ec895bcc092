"""The pilot: from a reading of the joints to the setpoint of this tick, or to none.

It obeys the operator, senses, asks for plans, chooses the rung and moves accordingly; whatever it
decides goes through the safety filter. It is handed the time and never reads a clock. Whether the
joints are its own stands in ``edge.custody``, what they follow on a rung in ``edge.references``.
"""

from __future__ import annotations

import numpy as np

from edge import ladder
from edge.bundle import Manifest
from edge.chunks import Follower
from edge.custody import Custody
from edge.drive import DriveReference
from edge.engaging import Engageable
from edge.ladder import MOVING, Mode, Rung, Situation
from edge.operator import Operator
from edge.rates import NS_PER_MS
from edge.reading import Reading
from edge.references import References
from edge.requests import PlanRequests
from edge.robot import Robot
from edge.safety import Limits, SafetyFilter, Stop
from edge.sensing import Sensing, planned_joints
from edge.shared_memory import Record
from edge.turning import TurningWatch
from firmware_bridge.messages import SafeSetpoint


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
        self._filter = SafetyFilter(
            tuple(joint.name for joint in robot.joints),
            Limits.of(robot),
            1.0 / robot.servo.rate_hz,
        )
        turning = TurningWatch(robot) if robot.velocity_joints else None
        self._custody = Custody(operator, self._filter, joints, turning)
        self._follower = Follower(round(robot.servo.blend_ms * NS_PER_MS))
        self._references = References(robot, self._follower, drive)
        self._planned = planned_joints(robot)
        self._tokens = manifest.tokenizer.tokens
        self._mode = Mode.IDLE
        self._reference = np.zeros(len(robot.joints))
        self._rung = Rung.DISENGAGED
        self._reason = ""
        self._may_plan = False

    @property
    def may_end(self) -> bool:
        """Whether the arm stands still, or is not ours."""
        return self._custody.stands_still

    def decide(self, reading: Reading, now_ns: int) -> SafeSetpoint | None:
        """This tick's setpoint; None where nothing may be sent."""
        self._operator.listen()
        self._references.listen()
        self._may_plan = False
        blind = self._sensing.update(reading, self._filter.position_rad, now_ns)
        if self._custody.pending:
            if self._custody.look(reading, blind, now_ns):
                self._take_mode(now_ns)
                return None  # torque is on and the goal is where the joints are: no setpoint yet
        elif blind is None:
            self._obey(reading, now_ns)
        stop = self._custody.why_still(reading, blind, now_ns)
        self._take_chunk(now_ns)
        self._change_rung(stop, now_ns)
        self._may_plan = stop is None
        return None if self._custody.holds_none else self._move(now_ns)

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
        tick["at_home"] = self._references.at_home(self._filter.position_rad, now_ns)
        tick["disarmed"] = self._custody.disarmed
        tick["prefix"] = chunk.prefix if chunk is not None else 0
        tick["plan"] = chunk.plan if chunk is not None else 0
        tick["plan_age_ns"] = now_ns - chunk.observed_ns if chunk is not None else 0
        tick["reference"] = self._reference
        tick["command"] = self._filter.position_rad

    def latch(self, reason: str) -> None:
        """Joints stopped by themselves: hold the others until a person asks to arm them."""
        self._custody.disarm(reason)

    def release(self, reason: str) -> None:
        """No joint is ours any more; only a person who asks to arm them has them engaged anew."""
        self._custody.release(reason)
        self._forget()
        self._rung, self._reason = Rung.DISENGAGED, reason

    def _obey(self, reading: Reading, now_ns: int) -> None:
        """Take over the operator's mode, or begin to engage the joints for it."""
        mode = self._operator.mode
        if mode is self._mode and not self._custody.asked_to_arm:
            return
        if mode in MOVING and not self._custody.may_move:
            self._custody.begin(reading, now_ns)
        else:
            self._take_mode(now_ns)

    def _take_mode(self, now_ns: int) -> None:
        self._mode = mode = self._operator.mode
        self._custody.forgive()
        self._references.forget()
        self._forget()
        if mode is Mode.POLICY:
            self._requests.announce(now_ns)

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
        if self._rung is before:
            return
        self._references.begin(self._rung, self._filter.position_rad, now_ns)
        if self._rung is Rung.DISENGAGED:
            self._forget()

    def _situation(self, stop: Stop | None, now_ns: int) -> Situation:
        chunk = self._follower.chunk
        return Situation(
            mode=self._mode,
            engaged=self._filter.engaged,
            at_rest=self._filter.at_rest,
            at_home=self._references.at_home(self._filter.position_rad, now_ns),
            stop=stop.reason if stop is not None else "",
            has_reference=self._follower.has_reference(now_ns),
            overdue=self._requests.overdue(now_ns),
            full=chunk is not None and chunk.prefix == self._tokens,
            has_drive=self._references.has_drive(now_ns),
        )

    def _move(self, now_ns: int) -> SafeSetpoint | None:
        """The rung's motion through the safety filter; what it refuses becomes a stop."""
        if self._rung is Rung.DISENGAGED:
            return None
        reference = self._references.of(self._rung, now_ns, self._filter.delay_ns)
        if reference is None:
            return self._stop(now_ns)
        self._reference = reference
        verdict = self._filter.track(reference, now_ns)
        if isinstance(verdict, SafeSetpoint):
            return verdict
        self._custody.latch(verdict)
        self._change_rung(verdict, now_ns)
        return self._stop(now_ns)

    def _stop(self, now_ns: int) -> SafeSetpoint | None:
        self._halt()
        verdict = self._filter.decelerate(now_ns)
        self._reference = self._references.standing(self._filter.position_rad)
        return verdict if isinstance(verdict, SafeSetpoint) else None

    def _halt(self) -> None:
        """Come to rest; a plan asked for after that, and not answered yet, still counts."""
        if self._follower.chunk is not None:
            self._forget()

    def _forget(self) -> None:
        """Follow nothing; plans made before are void."""
        self._follower.clear()
        self._requests.void()
