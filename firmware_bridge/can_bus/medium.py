"""The simulated bus itself: who may send when, who hears it, what errors do. No input, no clock.

Time is handed in as monotonic nanoseconds. A frame starts at the latest of: the bus is free, the
frame is ready, its sender may send again. Among the frames that are ready by then the lowest id
wins; each node offers the oldest frame of its queue, as an interface with one transmit buffer does.
Retransmission is automatic. A lone transmitter that became error-passive would repeat for ever
without any change; its frame waits here until somebody joins.
"""

from __future__ import annotations

from firmware_bridge.can_bus.bit_time import (
    ERROR_DELIMITER_BITS,
    ERROR_FLAG_BITS,
    INTERMISSION_BITS,
    NS_PER_S,
    BitRates,
    frame_bits,
)
from firmware_bridge.can_bus.error_state import ErrorState
from firmware_bridge.can_bus.faults import Faults
from firmware_bridge.can_bus.frame import CanFrame, arbitration_key
from firmware_bridge.can_bus.node import Event, EventKind, Flight, Node, Outcome

AFTER_ACK_BITS = 1 + 7  # ACK delimiter and end of frame, which a missing ACK cuts off
SUSPEND_BITS = 8  # an error-passive node waits after its own transmission
RECOVERY_BITS = 128 * 11
MAX_LAG_NS = 100_000_000
MAX_TURNS = 512  # transmissions that one call to ``advance`` works off
FIRST_DOMINANT_BITS = 14  # dominant bits after an error flag until the first further step
DOMINANT_STEP_BITS = 8


class SimulatedBus:
    """Nodes, queues and faults of one bus. ``sent``, ``errors`` and ``slips`` count."""

    def __init__(self, rates: BitRates) -> None:
        self.rates = rates
        self.faults = Faults()
        self.nodes: dict[int, Node] = {}
        self.sent = 0
        self.errors = 0
        self.slips = 0
        self._next_number = 1
        self._free_ns = 0
        self._flight: Flight | None = None
        self._dominant_until_ns = 0
        self._babbler = Node(0)
        self._events: list[Event] = []

    def attach(self, fd: bool = True, listen_only: bool = False) -> Node:
        """A new controller joins, error-active with an empty queue."""
        node = Node(self._next_number, fd, listen_only)
        self._next_number += 1
        self.nodes[node.number] = node
        self._unpark()
        return node

    def detach(self, node: Node) -> None:
        """A controller leaves; a frame of its own under way ends as it would have."""
        self.nodes.pop(node.number, None)

    def queue(self, node: Node, frame: CanFrame, ready_ns: int) -> None:
        """Queue a frame that its sender had ready at ``ready_ns``; a node off the bus drops it."""
        if node.counters.on_bus and not node.listen_only:
            node.queue.append((ready_ns, frame._replace(stamp_ns=0)))
        else:
            self._note(node, EventKind.PURGED, ready_ns)

    def purge(self, node: Node, now_ns: int) -> None:
        """Throw away a node's queue, except what is on the wire already."""
        flying = self._flight is not None and node in self._flight.senders
        keep = 1 if flying else 0
        while len(node.queue) > keep:
            node.queue.pop()
            self._note(node, EventKind.PURGED, now_ns)

    def restart(self, node: Node, now_ns: int) -> None:
        """Ask a node that is bus-off to come back after 128 times 11 recessive bits."""
        if not node.counters.on_bus and node.recover_ns is None:
            node.recover_ns = max(now_ns, self._free_ns) + self._bits_ns(RECOVERY_BITS)

    def inject(self, changes: dict[str, object], now_ns: int) -> None:
        """Change faults by name; raises ``ValueError`` for one that cannot be."""
        self.faults.update(changes)
        if "babble_id" in changes:
            babble = CanFrame(max(0, self.faults.babble_id), bytes(8))
            self._babbler.queue.clear()
            self._babbler.counters.recover()
            if self.faults.babble_id >= 0:
                self._babbler.queue.append((now_ns, babble))
        if self.faults.dominant_us:
            self._hold_dominant(now_ns, self.faults.dominant_us * 1000)
            self.faults.dominant_us = 0

    def next_due_ns(self) -> int | None:
        """Monotonic time at which ``advance`` has something to do without new frames."""
        if self._events:
            return 0
        due = [node.recover_ns for node in self.nodes.values() if node.recover_ns is not None]
        if self._flight is not None:
            due.append(self._flight.end_ns)
        elif (start_ns := self._next_start_ns()) is not None:
            due.append(start_ns)
        return min(due) if due else None

    def is_landing(self, now_ns: int) -> bool:
        """Tell whether a transmission under way has ended by then."""
        return self._flight is not None and self._flight.end_ns <= now_ns

    def advance(self, now_ns: int) -> list[Event]:
        """Let everything happen that happens until ``now_ns``; returns the news, oldest first."""
        if now_ns - self._free_ns > MAX_LAG_NS and self._flight is None:
            self._slip(now_ns)
        for _ in range(MAX_TURNS):
            if self._flight is None:
                self._flight = self._take_off(now_ns)
            if self._flight is None or self._flight.end_ns > now_ns:
                break
            self._land(self._flight)
        self._recover(now_ns)
        events, self._events = self._events, []
        return events

    def _slip(self, now_ns: int) -> None:
        """Frames that became ready long ago start at most ``MAX_LAG_NS`` in the past."""
        start_ns = self._next_start_ns()
        if start_ns is not None and now_ns - start_ns > MAX_LAG_NS:
            self.slips += 1
            self._free_ns = now_ns

    def _next_start_ns(self) -> int | None:
        ready = [node.ready_ns for node in self._offering()]
        return max(self._free_ns, min(ready)) if ready else None

    def _offering(self) -> list[Node]:
        offering = [node for node in self.nodes.values() if node.offers]
        return [*offering, self._babbler] if self._babbler.offers else offering

    def _take_off(self, now_ns: int) -> Flight | None:
        start_ns = self._next_start_ns()
        if start_ns is None or start_ns > now_ns:
            return None
        rivals = [node for node in self._offering() if node.ready_ns <= start_ns]
        keys = [arbitration_key(node.queue[0][1]) for node in rivals]
        best = min(keys)
        senders = [node for node, key in zip(rivals, keys, strict=True) if key == best]
        frame = senders[0].queue[0][1]
        outcome, first = self._outcome(senders, frame)
        return Flight(senders, frame, outcome, first, start_ns + self._flight_ns(frame, outcome))

    def _outcome(self, senders: list[Node], frame: CanFrame) -> tuple[Outcome, Node | None]:
        if any(node.queue[0][1] != frame for node in senders):
            return Outcome.COLLIDED, None
        hearers = [n for n in self.nodes.values() if n.counters.on_bus and n not in senders]
        old = [node for node in hearers if not node.fd and not node.listen_only]
        if frame.fd and old:
            return Outcome.DISTURBED_LOCALLY, old[0]
        if self.faults.takes_corrupt():
            return Outcome.DISTURBED, None
        victim = self.faults.takes_corrupt_at()
        if victim is not None and self.nodes.get(victim) in hearers:
            return Outcome.DISTURBED_LOCALLY, self.nodes[victim]
        if len(senders) == 1 and not self._acknowledgers(senders):
            return Outcome.NO_ACK, None
        return Outcome.SENT, None

    def _acknowledgers(self, senders: list[Node]) -> list[Node]:
        return [
            node
            for node in self.nodes.values()
            if node.counters.on_bus and not node.listen_only and node not in senders
        ]

    def _flight_ns(self, frame: CanFrame, outcome: Outcome) -> int:
        """Time until the end of frame or, after an error, until the error delimiter's end."""
        whole_ns = self.rates.duration_ns(frame_bits(frame))
        if outcome is Outcome.SENT:
            return whole_ns
        error_bits = ERROR_FLAG_BITS + ERROR_DELIMITER_BITS
        return whole_ns + self._bits_ns(error_bits - AFTER_ACK_BITS)

    def _bits_ns(self, bits: int) -> int:
        return bits * NS_PER_S // self.rates.nominal

    def _land(self, flight: Flight) -> None:
        self._flight = None
        self._free_ns = flight.end_ns + self._bits_ns(INTERMISSION_BITS)
        if flight.outcome is Outcome.SENT or self._is_heard_by_one_passive(flight):
            self._deliver(flight)
        else:
            self._fail(flight)
        for node in self.nodes.values():
            self._delay_recovery(node, flight)
            self._report_state(node, flight.end_ns)
        for node in flight.senders:
            if node.counters.passive:
                node.resume_ns = self._free_ns + self._bits_ns(SUSPEND_BITS)
        if self._babbler in flight.senders and self.faults.babble_id >= 0:
            self._babbler.counters.recover()  # a babbling idiot does not obey
            self._babbler.queue.clear()
            self._babbler.queue.append((flight.end_ns, flight.frame))

    def _is_heard_by_one_passive(self, flight: Flight) -> bool:
        """An error-passive receiver's flag is recessive: nobody else notices its trouble."""
        if flight.outcome is not Outcome.DISTURBED_LOCALLY or flight.first is None:
            return False
        return flight.first.counters.passive

    def _deliver(self, flight: Flight) -> None:
        self.sent += 1
        end_ns = flight.end_ns
        frame = flight.frame._replace(stamp_ns=end_ns)
        for node in flight.senders:
            node.counters.sent()
            if node.queue:
                node.queue.popleft()
                self._note(node, EventKind.SENT, end_ns, frame)
        kind = EventKind.OVERFLOW if self.faults.takes_drop(frame) else EventKind.FRAME
        for node in self.nodes.values():
            if node in flight.senders or not node.counters.on_bus:
                continue
            if node is flight.first:
                node.counters.reception_failed()
                continue
            node.counters.received()
            self._note(node, kind, end_ns, frame)

    def _fail(self, flight: Flight) -> None:
        self.errors += 1
        alone = flight.outcome is Outcome.NO_ACK
        for node in flight.senders:
            if alone:
                node.counters.acknowledge_missing()
                node.parked = node.counters.passive and not self._acknowledgers([node])
                self._note(node, EventKind.NO_ACK, flight.end_ns)
            else:
                node.counters.transmission_failed()
        for node in self.nodes.values():
            if not node.counters.on_bus:
                continue
            if node not in flight.senders and not node.listen_only:
                node.counters.reception_failed(first=node is flight.first)
            self._note(node, EventKind.BUS_ERROR, flight.end_ns)

    def _hold_dominant(self, now_ns: int, duration_ns: int) -> None:
        """A stuck transceiver: who is sending fails again with every 8 bits, all others count."""
        bits = duration_ns * self.rates.nominal // NS_PER_S
        steps = max(0, (bits - ERROR_FLAG_BITS - FIRST_DOMINANT_BITS) // DOMINANT_STEP_BITS + 1)
        flight, self._flight = self._flight, None
        senders = flight.senders if flight is not None else []
        self._free_ns = (
            now_ns + duration_ns + self._bits_ns(ERROR_DELIMITER_BITS + INTERMISSION_BITS)
        )
        self.errors += 1
        for node in self.nodes.values():
            if not node.counters.on_bus:
                continue
            if node in senders:
                node.counters.transmission_failed(1 + steps)
            else:
                node.counters.reception_failed(dominant_steps=steps)
            self._note(node, EventKind.BUS_ERROR, now_ns)
            self._report_state(node, now_ns)

    def _report_state(self, node: Node, stamp_ns: int) -> None:
        state = node.counters.state
        if state is node.reported:
            return
        node.reported = state
        self._note(node, EventKind.STATE, stamp_ns)
        if state is ErrorState.BUS_OFF:
            self.purge(node, stamp_ns)

    def _delay_recovery(self, node: Node, flight: Flight) -> None:
        """A frame holds only one of the 128 recessive gaps that a node off the bus waits for."""
        if node.recover_ns is not None:
            frame_ns = self.rates.duration_ns(frame_bits(flight.frame))
            node.recover_ns += max(0, frame_ns - self._bits_ns(11))

    def _note(
        self, node: Node, kind: EventKind, stamp_ns: int, frame: CanFrame | None = None
    ) -> None:
        counters = node.counters
        self._events.append(Event(node, kind, stamp_ns, frame, counters.transmit, counters.receive))

    def _recover(self, now_ns: int) -> None:
        for node in self.nodes.values():
            if node.recover_ns is not None and node.recover_ns <= now_ns:
                stamp_ns, node.recover_ns = node.recover_ns, None
                node.counters.recover()
                node.reported = ErrorState.ACTIVE
                node.resume_ns = stamp_ns
                self._note(node, EventKind.RESTARTED, stamp_ns)
                self._unpark()

    def _unpark(self) -> None:
        for node in self.nodes.values():
            node.parked = False
