from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.errors import RunError
from edge.reading import JointReader
from edge.safety import Stop
from edge.sensing import History
from edge.tracker import TrackerSocket, encode
from firmware_bridge.errors import DeviceError, PortError, ProtocolError
from tests.edge_desk import START, T0, Desk
from tests.edge_parts import POSE_KEY, TICK_NS, MemoryBus, lost

MS = 1_000_000


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path) as made:
        yield made


def sense(desk: Desk) -> Stop | None:
    return desk.sensing.update(desk.sensing.read(), START, desk.now_ns)


def test_a_lost_packet_ages_the_last_state_and_nothing_worse(desk: Desk) -> None:
    desk.observe(2)
    desk.bus.faults = [lost()]
    reading = desk.sensing.read()
    assert not reading.fresh
    assert reading.state is not None
    assert reading.fault == "no answer from 1"
    assert desk.sensing.update(reading, START, desk.now_ns + TICK_NS) is None


@pytest.mark.parametrize("fault", [lost(), ProtocolError("bad CRC"), DeviceError("overload")])
def test_a_broken_answer_is_a_lost_one(fault: Exception) -> None:
    bus = MemoryBus(lambda: T0)
    reader = JointReader(bus)
    bus.faults = [fault]
    assert (reader.read().state, reader.read().fresh) == (None, True)


def test_a_port_that_is_gone_is_no_lost_packet() -> None:
    bus = MemoryBus(lambda: T0)
    bus.faults = [PortError("no such port")]
    with pytest.raises(PortError, match="no such port"):
        JointReader(bus).read()


def test_before_the_first_state_there_is_a_stop_that_says_why(desk: Desk) -> None:
    desk.bus.faults = [lost("1, 2")]
    assert sense(desk) == Stop("no joint state yet: no answer from 1, 2")


def test_joint_state_just_young_enough_counts_and_older_stops(desk: Desk) -> None:
    desk.observe(1)
    state_ns = desk.now_ns
    desk.bus.faults = [lost(), lost()]
    desk.now_ns = state_ns + 50 * MS
    assert sense(desk) is None
    desk.now_ns = state_ns + 50 * MS + 1
    assert sense(desk) == Stop("joint state is 50 ms old: no answer from 1")


def test_a_state_that_came_too_late_is_too_old_without_a_fault(desk: Desk) -> None:
    desk.observe(1)
    reading = desk.sensing.read()
    now_ns = desk.now_ns + 51 * MS
    assert desk.sensing.update(reading, START, now_ns) == Stop("joint state is 51 ms old")


def test_a_tracker_sample_just_young_enough_counts_and_older_stops(desk: Desk) -> None:
    desk.observe(1)
    sample_ns = desk.now_ns
    desk.now_ns = sample_ns + 200 * MS
    assert sense(desk) is None
    desk.now_ns = sample_ns + 200 * MS + MS
    assert sense(desk) == Stop(f"{POSE_KEY} is 201 ms old")


def test_a_sample_from_the_future_is_of_another_clock_and_stops(desk: Desk) -> None:
    desk.now_ns += 10_000 * MS
    desk.send(np.zeros(3, np.float32))
    desk.now_ns -= 10_000 * MS
    stop = sense(desk)
    assert stop is not None
    assert POSE_KEY in stop.reason
    assert "10000 ms ahead" in stop.reason


def test_without_any_tracker_sample_there_is_a_stop_that_names_it(desk: Desk) -> None:
    assert sense(desk) == Stop(f"{POSE_KEY}: nothing received yet")


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stops_and_is_named_with_its_index(desk: Desk, poison: float) -> None:
    desk.observe(1)
    pose = np.zeros(3, np.float32)
    pose[2] = poison
    desk.send(pose)
    assert sense(desk) == Stop(f"{POSE_KEY}[2] is {poison}")
    desk.send(np.zeros(3, np.float32))
    assert sense(desk) is None
    desk.bus.position_rad[1] = poison
    assert sense(desk) == Stop(f"observation.state[1] is {poison}")


def test_a_datagram_of_another_length_is_dropped_and_counted(desk: Desk) -> None:
    desk.observe(1)
    before = desk.tracker.latest
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        good = encode(desk.now_ns + 1, np.zeros(3, np.float32))
        for datagram in (b"", b"\0", good[:-1], good + b"\0", good * 1000):
            sender.sendto(datagram, os.fspath(Path(desk._pose)))
    assert desk.tracker.poll() is before
    assert desk.tracker.malformed == 5


def test_the_newest_of_many_datagrams_wins(desk: Desk) -> None:
    for value in (1.0, 2.0, 3.0):
        desk.now_ns += 1
        desk.send(np.full(3, value, np.float32))
    sample = desk.tracker.poll()
    assert sample is not None
    assert sample.stamp_ns == desk.now_ns
    np.testing.assert_array_equal(sample.values, [3.0, 3.0, 3.0])


def test_a_socket_that_cannot_be_bound_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "pose.socket"
    with pytest.raises(RunError, match=f"trackers.{POSE_KEY}.socket {path}: No such file"):
        TrackerSocket(POSE_KEY, path, 3)


def test_a_socket_file_left_by_a_dead_run_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pose.socket"
    for _ in range(2):
        TrackerSocket(POSE_KEY, path, 3).close()


def test_observation_steps_are_a_policy_step_apart_and_the_newest_is_last() -> None:
    history, into = History(1, 3, 4), np.zeros((3, 1), np.float32)
    for tick in range(20):
        history.push(np.array([float(tick)]))
    history.write(into)
    np.testing.assert_array_equal(into[:, 0], [11, 15, 19])


def test_a_history_that_is_not_full_says_so_by_what_is_not_finite() -> None:
    history, into = History(1, 2, 4), np.zeros((2, 1), np.float32)
    for _ in range(4):
        history.push(np.zeros(1))
    history.write(into)
    assert np.isnan(into[0, 0])
    history.push(np.zeros(1))
    history.write(into)
    assert np.isfinite(into).all()
