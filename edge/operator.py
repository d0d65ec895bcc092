"""What the supervisor asks of the servo, and how long its word stands."""

from __future__ import annotations

from edge.ladder import Mode
from edge.rates import ABANDONED_NS, LEASE_NS
from edge.safety import Stop
from edge.shared_memory import Mailbox


class Operator:
    """The supervisor as the servo hears it: a mode, an episode, and a heartbeat that is a lease.

    ``arms`` grows when a person asks that joints be armed that had stopped by themselves.
    """

    def __init__(self, control: Mailbox, now_ns: int) -> None:
        self.mode = Mode.IDLE
        self.episode = 0
        self.arms = 0
        self._control = control
        self._heard_ns = now_ns

    def listen(self) -> None:
        """Take in the newest command."""
        control = self._control.take()
        if control is not None:
            self.mode = Mode(int(control["mode"]))
            self.episode = int(control["episode"])
            self.arms = int(control["arms"])
            self._heard_ns = int(control["heartbeat_ns"])

    def lease(self, now_ns: int) -> Stop | None:
        """A Stop once the supervisor has been silent for longer than its lease."""
        if now_ns - self._heard_ns <= LEASE_NS:
            return None
        return Stop("the supervisor is silent")

    def wants_the_end(self, now_ns: int) -> bool:
        """Whether the servo shall end: it was asked to, or nobody is there any more."""
        return self.mode is Mode.SHUTDOWN or now_ns - self._heard_ns > ABANDONED_NS
