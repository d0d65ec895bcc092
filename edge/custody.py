"""Whether the joints are ours: what has them engaged, and what keeps them from moving.

Joints that stopped by themselves are disarmed: they keep still, whatever the operator's mode, until
a person has asked to arm them. A blocked joint keeps them still until the operator's next mode.
"""

from __future__ import annotations

from collections.abc import Callable

from edge.engaging import Engageable, Engagement
from edge.ladder import GAVE_UP, MOVING
from edge.operator import Operator
from edge.reading import Reading
from edge.safety import SafetyFilter, Stop
from edge.turning import TurningWatch
from firmware_bridge.errors import BridgeError


class Custody:
    """Engages the joints through ``motion``, the safety filter, which starts where they are.

    ``disarmed``: they stopped by themselves, and no person has had them engaged since. The rung is
    not its business: it says when motion starts anew, and why there must be none.
    """

    def __init__(
        self,
        operator: Operator,
        motion: SafetyFilter,
        joints: Engageable,
        turning: TurningWatch | None,
    ) -> None:
        """``turning`` watches the joints that take velocities, where there are any."""
        self.disarmed = False
        self._operator = operator
        self._motion = motion
        self._engagement = Engagement(joints)
        self._turning = turning
        self._latched: Stop | None = None
        self._gave_up: Stop | None = None
        self._arms = 0

    @property
    def pending(self) -> bool:
        """Whether joints are being engaged."""
        return self._engagement.pending

    @property
    def holds_none(self) -> bool:
        """Whether joints are being engaged and no other obeys setpoints meanwhile."""
        return self._engagement.pending and not self._engagement.holds_any

    @property
    def stands_still(self) -> bool:
        """Whether the arm stands still, or is not ours."""
        return self._motion.at_rest or not self._motion.engaged

    @property
    def may_move(self) -> bool:
        """Whether the joints are engaged and nothing has stopped them since."""
        return self._motion.engaged and self._latched is None

    @property
    def asked_to_arm(self) -> bool:
        """Whether a person has asked to arm joints that had stopped by themselves."""
        return self.disarmed and self._operator.arms != self._arms

    def begin(self, reading: Reading, now_ns: int) -> None:
        """Begin to engage the joints, if this tick allows it.

        Motion asked for after a stop starts from the measured position, as the first one does, and
        only from a fresh, good reading. Raises BridgeError where the very first attempt fails.
        """
        allowed = self.asked_to_arm or not self.disarmed
        heard = self._operator.lease(now_ns) is None
        if allowed and heard and reading.fresh and self.stands_still:
            self._attempt(lambda: self._engagement.begin(reading, now_ns))

    def look(self, reading: Reading, blind: Stop | None, now_ns: int) -> bool:
        """Look after joints that are being enabled; True where motion starts from this tick.

        Whoever asks for a stop meanwhile, or falls silent, ends it at once. Raises as ``begin``.
        """
        if self._operator.mode not in MOVING or self._operator.lease(now_ns) is not None:
            self._give_up()
            return False
        enabled = self._attempt(lambda: self._engagement.look(reading, now_ns))
        if enabled and blind is None and self._start(reading):
            return True
        if self._engagement.pending and self._engagement.overdue(now_ns):
            self._give_up_unseen(reading, blind)
        return False

    def why_still(self, reading: Reading, blind: Stop | None, now_ns: int) -> Stop | None:
        """Once a tick: why nothing may move, or None. ``blind`` is what sensing has against it.

        An attempt to engage that came to nothing is told of in its tick, whatever else there is.
        """
        self._heed_refusal(reading)
        if self.disarmed and blind is not None and not self.pending:
            self._arms = self._operator.arms  # what is asked while nothing can be seen counts not
        gave_up, self._gave_up = self._gave_up, None
        stop = gave_up or self._why_disarmed or self._why_engaging(reading, blind)
        stop = stop or blind or self._operator.lease(now_ns)
        return stop or self._check_tracking(reading)

    def latch(self, stop: Stop) -> None:
        """Keep the joints still until the operator's next mode."""
        self._latched = stop

    def forgive(self) -> None:
        """The operator asks for another mode: what stopped the joints before counts no more."""
        if not self.disarmed:
            self._latched = None

    def disarm(self, reason: str) -> None:
        """Joints stopped by themselves: hold the others until a person asks to arm them."""
        self._engagement.abandon()
        self._latched = Stop(reason)
        self.disarmed = True
        self._arms = self._operator.arms

    def release(self, reason: str) -> None:
        """No joint is ours any more; only a person who asks to arm them has them engaged anew."""
        self._motion.disengage()
        self.disarm(reason)

    def _start(self, reading: Reading) -> bool:
        """Take over the joints where they are; False where that cannot be told."""
        if reading.state is None or self._motion.engage(reading.state.position_rad) is not None:
            return False
        self._engagement.confirm()
        self.disarmed, self._latched = False, None
        return True

    def _attempt(self, step: Callable[[], bool | None]) -> bool:
        """A step of engaging. Where it fails the joints are not ours; at the start nobody's are."""
        try:
            return bool(step())
        except BridgeError as error:
            if not self._motion.engaged and not self.disarmed:
                raise
            if self._engagement.holds_any:
                self.disarm(str(error))
            else:
                self.release(str(error))
            return False

    def _give_up(self) -> None:
        """Joints that were being enabled are not ours; those of other buses go on being held."""
        if not self._engagement.holds_any:
            self._motion.disengage()
        self._engagement.abandon()
        self._arms = self._operator.arms  # a request to arm them is used up

    def _give_up_unseen(self, reading: Reading, blind: Stop | None) -> None:
        """Enabled for too long without being seen: begun anew once they are, if nobody must ask."""
        self._give_up()
        self._gave_up = Stop(f"{GAVE_UP}: {_why_unseen(reading, blind)}")
        if self.disarmed:
            self._latched = self._gave_up

    def _why_engaging(self, reading: Reading, blind: Stop | None) -> Stop | None:
        if self._engagement.enabled:
            return Stop(f"the joints are enabled, but not seen: {_why_unseen(reading, blind)}")
        return Stop("the joints are being engaged") if self._engagement.pending else None

    @property
    def _why_disarmed(self) -> Stop | None:
        return self._latched if self.disarmed else None

    def _heed_refusal(self, reading: Reading) -> None:
        """A device that has stopped by itself stops the robot until somebody arms it."""
        if reading.refused and self.may_move:
            self.disarm(reading.fault)

    def _check_tracking(self, reading: Reading) -> Stop | None:
        """A blocked joint stops the robot until the operator's next mode."""
        state = reading.state
        if self.may_move and reading.fresh and state is not None:
            self._latched = self._motion.check_tracking(state.position_rad)
            if self._latched is None and self._turning is not None:
                commanded_rad_s = self._motion.velocity_rad_s
                self._latched = self._turning.check(commanded_rad_s, state.velocity_rad_s)
        return self._latched


def _why_unseen(reading: Reading, blind: Stop | None) -> str:
    return blind.reason if blind is not None else reading.fault or "no reading since"
