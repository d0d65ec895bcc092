"""One controller on the simulated bus, and what it is told."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from firmware_bridge.can_bus.error_state import ErrorCounters, ErrorState
from firmware_bridge.can_bus.frame import CanFrame


class EventKind(Enum):
    """What a node learns."""

    FRAME = "frame"  # a frame of another node
    SENT = "sent"  # its oldest queued frame went through
    PURGED = "purged"  # its oldest queued frame was thrown away
    OVERFLOW = "overflow"  # it lost a frame on reception
    STATE = "state"  # its error state changed
    BUS_ERROR = "bus error"  # an error frame passed
    NO_ACK = "no ack"  # its own frame was not acknowledged
    RESTARTED = "restarted"  # it left bus-off


class Event(NamedTuple):
    """News for one node at a monotonic time, with its error counters then."""

    node: Node
    kind: EventKind
    stamp_ns: int
    frame: CanFrame | None
    transmit_errors: int
    receive_errors: int


@dataclass(eq=False, slots=True)
class Node:
    """One controller on the bus. ``fd`` False: it takes FD frames for errors, as old ones do."""

    number: int
    fd: bool = True
    listen_only: bool = False
    counters: ErrorCounters = field(default_factory=ErrorCounters)
    queue: deque[tuple[int, CanFrame]] = field(default_factory=deque)  # (ready_ns, frame)
    resume_ns: int = 0
    recover_ns: int | None = None
    parked: bool = False
    reported: ErrorState = ErrorState.ACTIVE

    @property
    def offers(self) -> bool:
        """Tell whether it wants the bus."""
        return bool(self.queue) and self.counters.on_bus and not self.parked

    @property
    def ready_ns(self) -> int:
        """When its oldest frame could start."""
        return max(self.queue[0][0], self.resume_ns)


class Outcome(Enum):
    """How a transmission ends."""

    SENT = "sent"
    NO_ACK = "not acknowledged"
    DISTURBED = "disturbed for all"
    DISTURBED_LOCALLY = "disturbed for one receiver"
    COLLIDED = "two nodes with one id"


class Flight(NamedTuple):
    """A transmission under way."""

    senders: list[Node]
    frame: CanFrame
    outcome: Outcome
    first: Node | None  # the receiver that saw the error first
    end_ns: int
