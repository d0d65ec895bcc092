"""A USB serial adapter under the kernel's ``ftdi_sio``, pulled and plugged in."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Iterator

import numpy as np
import pytest

from edge.returning_bus import BusAwayError, ReturningBus
from firmware_bridge.errors import BridgeError, PortError
from firmware_bridge.messages import SafeSetpoint
from firmware_bridge.transports.serial_port import SerialPort
from tests.socketcan import hardware
from tests.socketcan.rigs import DynamixelOnUsb

pytestmark = pytest.mark.skipif(not hardware.IS_HERE, reason="runs inside of `make socketcan`")
TIOCGSERIAL = 0x541E
ASYNC_LOW_LATENCY = 1 << 13  # linux/tty_flags.h
START = np.array([0.2, -0.3, 0.4, 0.0, 0.5, -0.6, 0.1])


@pytest.fixture
def rig() -> Iterator[DynamixelOnUsb]:
    made = DynamixelOnUsb()
    made.place(START)
    yield made
    made.close()
    hardware.plug_adapter()


def test_the_driver_is_in_its_low_latency_mode(rig: DynamixelOnUsb) -> None:
    port = SerialPort(rig.path, 1_000_000)
    port.open()
    described = fcntl.ioctl(port._fd, TIOCGSERIAL, bytes(72))
    (flags,) = struct.unpack_from("i", described, 16)  # struct serial_struct: the fifth int
    port.close()
    assert flags & ASYNC_LOW_LATENCY


def test_an_open_adapter_is_nobody_elses(rig: DynamixelOnUsb) -> None:
    port = SerialPort(rig.path, 1_000_000)
    port.open()
    with pytest.raises(PortError, match="is busy"):
        SerialPort(rig.path, 1_000_000).open()
    port.close()


def test_a_pulled_adapter_is_an_error_and_is_found_again_under_another_name(
    rig: DynamixelOnUsb,
) -> None:
    bus = rig.bus()
    bus.open()
    bus.enable()
    squatter = os.open(rig.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)  # keeps the number taken
    hardware.pull_adapter()
    with pytest.raises(PortError, match="is gone"):
        bus.read_state()
    bus.close()
    with pytest.raises(PortError):
        bus.open()
    new_path = hardware.plug_adapter()
    assert new_path != rig.path
    bus.open()
    position_rad = bus.read_state().position_rad
    assert all(rig.torque())  # the servos never noticed
    np.testing.assert_allclose(rig.plant.position_rad, START, atol=2 * rig.resolution_rad)
    assert position_rad.shape == START.shape
    bus.close()
    os.close(squatter)


def test_the_loop_gets_its_bus_back_when_the_adapter_is_plugged_in_again(
    rig: DynamixelOnUsb,
) -> None:
    bus = ReturningBus(rig.bus())
    bus.open()
    bus.enable()
    hardware.pull_adapter()
    with pytest.raises(BusAwayError, match="is gone"):
        bus.read_state()
    hardware.plug_adapter()
    hardware.wait_for(lambda: answers(bus), "the bus to come back")
    with pytest.raises(BusAwayError):
        bus.write_setpoints(SafeSetpoint(time.monotonic_ns(), START))
    assert all(rig.torque())
    bus.enable()
    np.testing.assert_allclose(rig.plant.position_rad, START, atol=2 * rig.resolution_rad)
    bus.close()


def answers(bus: ReturningBus) -> bool:
    try:
        bus.read_state()
    except BridgeError:
        return False
    return True


def test_a_cable_that_loses_bytes_costs_readings_and_not_the_port(rig: DynamixelOnUsb) -> None:
    bus = rig.bus()
    bus.open()
    rig.lose_answers(1)
    stamp_ns = time.monotonic_ns()
    assert bus.read_state().stamp_ns > stamp_ns
    bus.close()
