"""Emulated motors that are the bus of their channel too, and those that join it as guests."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from firmware_bridge.can_bus.bit_time import BitRates
from firmware_bridge.can_bus.client import BusClient, ControllerSettings
from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.emulation.can_robot import EmulatedCanRobot
from firmware_bridge.emulation.hosted_can import TICK_NS, TRANSMIT_FRAMES, HostedCan
from firmware_bridge.emulation.hosted_can_robot import HostedCanRobot
from firmware_bridge.emulation.plant import FirstOrderPlant
from firmware_bridge.errors import PortError
from firmware_bridge.joint_map import JointMap
from firmware_bridge.messages import JointState
from firmware_bridge.protocols import BusOptions, Emulation, LineOptions, load_protocols
from tests.contract.rigs import short_runtime_directory

PROTOCOLS = load_protocols()
ANGLES_RAD = np.array([0.3, -0.2])
TURN_NS = 10_000_000


@pytest.fixture(autouse=True)
def runtime_directory() -> Iterator[None]:
    with short_runtime_directory():
        yield


def make(protocol: str, **options: bool) -> Emulation:
    plant = FirstOrderPlant(2)
    plant.position_rad[:] = ANGLES_RAD
    line = LineOptions(channel="shared", **options)
    return PROTOCOLS[protocol].make_emulation(plant, "simple", line)


@contextmanager
def served(emulation: Emulation) -> Iterator[Emulation]:
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            emulation.run_until(time.monotonic_ns() + TURN_NS)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield emulation
    finally:
        stop.set()
        thread.join()
        emulation.close()


def reading(protocol: str) -> JointState:
    spec = PROTOCOLS[protocol]
    joints = JointMap((spec.first_id, spec.first_id + 1))
    bus = spec.make_bus("oatcan:shared", joints, BusOptions(watchdog_ms=0, patience=100))
    bus.open()
    try:
        return bus.read_state()
    finally:
        bus.close()


def test_the_first_motors_of_a_channel_are_its_bus_and_later_ones_join_it() -> None:
    with served(make("odrive")) as host:
        assert isinstance(host.robot, HostedCanRobot)  # type: ignore[attr-defined]
        with served(make("damiao")) as guest:
            assert isinstance(guest.robot, EmulatedCanRobot)  # type: ignore[attr-defined]
            assert guest.address == host.address == "oatcan:shared"
            for protocol in ("odrive", "damiao"):
                np.testing.assert_allclose(reading(protocol).position_rad, ANGLES_RAD, atol=1e-3)


def test_a_channel_is_free_again_when_its_bus_has_gone() -> None:
    for _ in range(2):
        with served(make("damiao")) as emulation:
            assert isinstance(emulation.robot, HostedCanRobot)  # type: ignore[attr-defined]


def test_motors_that_may_not_host_leave_the_bus_to_a_process_of_its_own() -> None:
    with served(make("damiao", may_host=False)) as emulation:
        assert isinstance(emulation.robot, EmulatedCanRobot)  # type: ignore[attr-defined]
        np.testing.assert_allclose(reading("damiao").position_rad, ANGLES_RAD, atol=1e-3)


def test_a_second_bus_on_a_channel_is_refused_by_the_channels_name() -> None:
    refused = pytest.raises(PortError, match="channel shared has a bus already")
    with served(make("damiao")), refused:
        HostedCanRobot(FirstOrderPlant(0), [], "shared", BitRates())


def test_a_frame_that_nobody_has_heard_of_yet_still_wins_the_bus_when_another_ends() -> None:
    host = HostedCan("shared", BitRates(), [], lambda now_ns: None)
    clients = [BusClient("shared", ControllerSettings()) for _ in range(2)]
    try:
        for client in clients:
            joining = threading.Thread(target=client.open)
            joining.start()
            while joining.is_alive():
                host.serve(time.monotonic_ns())
            joining.join()
        late, listener = clients
        node, now_ns = host.bus.attach(), time.monotonic_ns()
        for can_id in (0x100, 0x300):
            host.bus.queue(node, CanFrame(can_id), now_ns)
        host.bus.advance(now_ns)  # 0x100 is under way
        late.send(CanFrame(0x080), now_ns + 1)
        host.serve(now_ns + 1_000_000)
        heard = [listener.receive(time.monotonic_ns()) for _ in range(3)]
        assert [frame.can_id for frame in heard if isinstance(frame, CanFrame)] == [
            0x100,
            0x080,
            0x300,
        ]
    finally:
        for client in clients:
            client.close()
        host.close()


def test_heartbeats_that_nobody_acknowledges_do_not_pile_up() -> None:
    emulation = make("odrive")
    host = emulation.robot._can  # type: ignore[attr-defined]
    try:
        began_ns = time.monotonic_ns()
        for tick in range(2_000):  # ten seconds of ticks, handed in
            host.serve(began_ns + tick * TICK_NS)
        assert 0 < len(host._node.queue) <= 2 * TRANSMIT_FRAMES
    finally:
        emulation.close()
    with served(make("odrive")):
        np.testing.assert_allclose(reading("odrive").position_rad, ANGLES_RAD, atol=1e-3)
