"""The simulated bus: arbitration, acknowledgement, error confinement, faults."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.can_bus.bit_time import BitRates, frame_bits
from firmware_bridge.can_bus.error_state import ErrorState
from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.medium import SimulatedBus
from firmware_bridge.can_bus.node import Event, EventKind, Node

BIT_NS = 1000
LATER_NS = 50_000_000


def make_bus(nodes: int, **settings_: bool) -> tuple[SimulatedBus, list[Node]]:
    bus = SimulatedBus(BitRates(1_000_000, 5_000_000))
    return bus, [bus.attach(**settings_) for _ in range(nodes)]


def run(bus: SimulatedBus, until_ns: int = LATER_NS) -> list[Event]:
    events: list[Event] = []
    while (due := bus.next_due_ns()) is not None and due <= until_ns:
        events += bus.advance(max(due, 0))
    return events + bus.advance(until_ns)


def frames_of(events: Iterable[Event], node: Node) -> list[CanFrame]:
    found = (e.frame for e in events if e.node is node and e.kind is EventKind.FRAME)
    return [frame._replace(stamp_ns=0) for frame in found if frame is not None]


def kinds_of(events: Iterable[Event], node: Node) -> list[EventKind]:
    return [event.kind for event in events if event.node is node]


def test_a_frame_reaches_all_others_at_the_end_of_its_bits() -> None:
    bus, (a, b, c) = make_bus(3)
    frame = CanFrame(0x123, b"\x11\x22")
    bus.queue(a, frame, 5000)
    events = run(bus)
    assert frames_of(events, b) == frames_of(events, c) == [frame]
    assert kinds_of(events, a) == [EventKind.SENT]
    assert events[0].stamp_ns == 5000 + frame_bits(frame).nominal * BIT_NS


def test_the_lowest_id_that_is_ready_goes_first_and_the_rest_follow_after_a_gap() -> None:
    bus, (a, b, c) = make_bus(3)
    bus.queue(a, CanFrame(0x300, b"a"), 0)
    bus.queue(b, CanFrame(0x100, b"b"), 10)  # later than the start: has to wait
    bus.queue(c, CanFrame(0x200, b"c"), 0)
    events = run(bus)
    heard = [e for e in events if e.kind is EventKind.SENT]
    assert [e.frame.can_id for e in heard if e.frame] == [0x200, 0x100, 0x300]
    second = heard[1].frame
    assert second is not None
    gap_ns = heard[1].stamp_ns - heard[0].stamp_ns
    assert gap_ns == (frame_bits(second._replace(stamp_ns=0)).nominal + 3) * BIT_NS


def test_one_node_sends_in_the_order_of_its_queue() -> None:
    bus, (a, b) = make_bus(2)
    for can_id in (0x300, 0x100, 0x200):
        bus.queue(a, CanFrame(can_id), 0)
    assert [f.can_id for f in frames_of(run(bus), b)] == [0x300, 0x100, 0x200]


def test_nobody_to_acknowledge_makes_a_node_passive_and_never_bus_off() -> None:
    bus, (a,) = make_bus(1)
    bus.queue(a, CanFrame(1), 0)
    events = run(bus)
    assert kinds_of(events, a).count(EventKind.NO_ACK) == 16
    assert a.counters.transmit == 128 and a.counters.state is ErrorState.PASSIVE
    b = bus.attach()
    assert frames_of(run(bus, 2 * LATER_NS), b) == [CanFrame(1)]
    assert a.counters.transmit == 127


def test_a_listener_hears_and_does_not_acknowledge() -> None:
    bus, (a, b) = make_bus(2)
    listener = bus.attach(listen_only=True)
    bus.queue(a, CanFrame(1), 0)
    assert frames_of(run(bus), listener) == [CanFrame(1)]
    bus.detach(b)
    bus.queue(a, CanFrame(2), LATER_NS)
    assert EventKind.NO_ACK in kinds_of(run(bus, 2 * LATER_NS), a)


def test_a_disturbed_frame_is_sent_again_and_costs_both_sides() -> None:
    bus, (a, b) = make_bus(2)
    bus.inject({"corrupt": 1}, 0)
    bus.queue(a, CanFrame(7), 0)
    events = run(bus)
    assert frames_of(events, b) == [CanFrame(7)]
    assert (a.counters.transmit, b.counters.receive) == (8 - 1, 1 - 1)
    assert EventKind.BUS_ERROR in kinds_of(events, b)


def test_thirty_two_failures_in_a_row_end_in_bus_off_and_purge_the_queue() -> None:
    bus, (a, b) = make_bus(2)
    bus.inject({"corrupt": 100}, 0)
    for can_id in range(3):
        bus.queue(a, CanFrame(can_id), 0)
    events = run(bus)
    assert a.counters.state is ErrorState.BUS_OFF and not a.queue
    assert bus.faults.corrupt == 100 - 32
    assert kinds_of(events, a).count(EventKind.PURGED) == 3
    assert frames_of(events, b) == []
    states = [k for k in kinds_of(events, a) if k is EventKind.STATE]
    assert len(states) == 3  # warning, passive, bus-off


def test_a_node_off_the_bus_neither_hears_nor_sends_until_it_restarted() -> None:
    bus, (a, b, c) = make_bus(3)
    bus.inject({"corrupt": 32}, 0)
    bus.queue(a, CanFrame(1), 0)
    run(bus, LATER_NS)
    bus.queue(b, CanFrame(2), LATER_NS)
    bus.queue(a, CanFrame(3), LATER_NS)
    events = run(bus, 2 * LATER_NS)
    assert frames_of(events, a) == [] and frames_of(events, c) == [CanFrame(2)]
    bus.restart(a, 2 * LATER_NS)
    events = run(bus, 3 * LATER_NS)
    restarted = next(e for e in events if e.kind is EventKind.RESTARTED)
    assert restarted.stamp_ns == 2 * LATER_NS + 128 * 11 * BIT_NS
    assert a.counters.transmit == 0 and a.counters.state is ErrorState.ACTIVE
    bus.queue(a, CanFrame(4), 3 * LATER_NS)
    assert frames_of(run(bus, 4 * LATER_NS), b) == [CanFrame(4)]


def test_recovery_takes_longer_on_a_busy_bus() -> None:
    bus, (a, b, _) = make_bus(3)
    bus.inject({"corrupt": 32}, 0)
    bus.queue(a, CanFrame(1), 0)
    run(bus)
    bus.restart(a, LATER_NS)
    for _ in range(5):
        bus.queue(b, CanFrame(2, bytes(8)), LATER_NS)
    restarted = next(e for e in run(bus, 2 * LATER_NS) if e.kind is EventKind.RESTARTED)
    assert restarted.stamp_ns > LATER_NS + (128 * 11 + 500) * BIT_NS


def test_a_receiver_that_sees_errors_alone_becomes_passive_and_then_harms_nobody() -> None:
    bus, (a, b, c) = make_bus(3)
    bus.inject({"corrupt_at": 1000, "corrupt_node": b.number}, 0)
    for can_id in range(30):
        bus.queue(a, CanFrame(can_id), 0)
    events = run(bus)
    assert b.counters.state is ErrorState.PASSIVE
    assert frames_of(events, b) == []
    assert len(frames_of(events, c)) == 30
    assert a.counters.on_bus


def test_a_dropped_frame_counts_as_sent_and_shows_as_overflow() -> None:
    bus, (a, b) = make_bus(2)
    bus.inject({"drop": 1, "drop_id": 2}, 0)
    bus.queue(a, CanFrame(1), 0)
    bus.queue(a, CanFrame(2), 0)
    events = run(bus)
    assert kinds_of(events, a) == [EventKind.SENT] * 2
    assert kinds_of(events, b) == [EventKind.FRAME, EventKind.OVERFLOW]


def test_a_bus_held_dominant_throws_the_sender_off_and_the_others_into_passive() -> None:
    bus, (a, b) = make_bus(2)
    bus.queue(a, CanFrame(1, bytes(8)), 0)
    bus.advance(10_000)  # under way
    bus.inject({"dominant_us": 1000}, 20_000)
    events = run(bus)
    assert a.counters.state is ErrorState.BUS_OFF
    assert b.counters.state is ErrorState.PASSIVE
    assert frames_of(events, b) == []


def test_a_babbling_idiot_starves_the_others_until_it_stops() -> None:
    bus, (a, b) = make_bus(2)
    bus.inject({"babble_id": 0}, 0)
    bus.queue(a, CanFrame(1), 0)
    heard = frames_of(bus.advance(5_000_000), b)
    assert len(heard) > 30 and {f.can_id for f in heard} == {0}
    bus.inject({"babble_id": -1}, 5_000_000)
    assert CanFrame(1) in frames_of(run(bus), b)


def test_two_nodes_with_one_id_and_other_data_disturb_each_other() -> None:
    bus, (a, b, c) = make_bus(3)
    bus.queue(a, CanFrame(5, b"\x01"), 0)
    bus.queue(b, CanFrame(5, b"\x02"), 0)
    events = run(bus)
    assert frames_of(events, c) == []
    assert not a.counters.on_bus and not b.counters.on_bus


def test_an_old_controller_does_not_suffer_fd_frames() -> None:
    bus, (a, _) = make_bus(2)
    bus.attach(fd=False)
    bus.queue(a, CanFrame(5, bytes(12), fd=True), 0)
    run(bus)
    assert a.counters.state is not ErrorState.ACTIVE
    assert bus.errors > 0


def test_purging_leaves_only_what_is_on_the_wire() -> None:
    bus, (a, b) = make_bus(2)
    for can_id in range(4):
        bus.queue(a, CanFrame(can_id), 0)
    bus.advance(10_000)
    bus.purge(a, 10_000)
    assert frames_of(run(bus), b) == [CanFrame(0)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"explode": 1}, "fault 'explode' is not known"),
        ({"corrupt": -1}, "corrupt: -1 is not allowed"),
        ({"corrupt": "x"}, "corrupt: 'x' is not allowed"),
        ({"babble_id": 0x800}, "babble_id: 2048 is not allowed"),
    ],
)
def test_an_impossible_fault_is_named(changes: dict[str, object], message: str) -> None:
    bus, _ = make_bus(1)
    with pytest.raises(ValueError, match=message):
        bus.inject(changes, 0)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["queue", "corrupt", "drop", "restart", "purge", "hold", "advance"]),
        st.integers(0, 2),
        st.integers(0, 0x7FF),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(ACTIONS)
def test_no_frame_is_lost_without_news_and_nothing_runs_for_ever(
    actions: list[tuple[str, int, int]],
) -> None:
    bus, nodes = make_bus(3)
    now_ns = queued = 0
    events: list[Event] = []
    for action, who, number in actions:
        now_ns += number * 100
        if action == "queue":
            bus.queue(nodes[who], CanFrame(number, bytes((who,))), now_ns)
            queued += 1
        elif action == "corrupt":
            bus.inject({"corrupt": number % 40}, now_ns)
        elif action == "drop":
            bus.inject({"drop": 1}, now_ns)
        elif action == "restart":
            bus.restart(nodes[who], now_ns)
        elif action == "purge":
            bus.purge(nodes[who], now_ns)
        elif action == "hold":
            bus.inject({"dominant_us": 1 + number}, now_ns)
        else:
            events += bus.advance(now_ns)
    events += run(bus, now_ns + 1_000_000_000)
    done = sum(e.kind in (EventKind.SENT, EventKind.PURGED) for e in events)
    waiting = sum(len(node.queue) for node in nodes)
    assert done + waiting == queued
    for node in nodes:
        assert not node.queue or not node.counters.on_bus or node.parked
