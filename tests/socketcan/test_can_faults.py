"""What can happen to a SocketCAN interface, on the kernel's own drivers."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.socketcan_errors import (
    BUS_OFF,
    CONTROLLER,
    NO_ACK,
    RESTARTED,
    TX_PASSIVE,
)
from firmware_bridge.errors import PortError
from firmware_bridge.transports.can_port import PythonCanPort
from tests.socketcan import hardware
from tests.socketcan.slcan_adapter import SlcanAdapter

pytestmark = pytest.mark.skipif(not hardware.IS_HERE, reason="runs inside of `make socketcan`")
ERROR_FLAG = 0x20000000  # CAN_ERR_FLAG, linux/can.h
A_SECOND_NS = 1_000_000_000
PATIENCE_NS = 20 * A_SECOND_NS


def opened(channel: str) -> PythonCanPort:
    port = PythonCanPort("socketcan", channel)
    port.open()
    return port


def soon_ns() -> int:
    return time.monotonic_ns() + A_SECOND_NS


@pytest.fixture
def pair() -> Iterator[tuple[PythonCanPort, PythonCanPort]]:
    """Ports of two controllers on one wire."""
    for name in (hardware.NEAR, hardware.FAR):
        hardware.ip("set", name, "up")
    ports = opened(hardware.NEAR), opened(hardware.FAR)
    yield ports
    for port in ports:
        port.close()
    for name in (hardware.NEAR, hardware.FAR):
        hardware.ip("set", name, "down")


@pytest.fixture
def wire() -> Iterator[PythonCanPort]:
    """A port of the virtual interface."""
    hardware.ip("set", hardware.VIRTUAL_WIRE, "up")
    port = opened(hardware.VIRTUAL_WIRE)
    yield port
    port.close()
    hardware.ip("set", hardware.VIRTUAL_WIRE, "down")


def report_error(code: int, status: int = 0) -> None:
    """Send an error frame as a driver would."""
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as driver:
        driver.bind((hardware.VIRTUAL_WIRE,))
        data = bytes((0, status, 0, 0, 0, 0, 0, 0))
        driver.send(struct.pack("=IB3x8s", code | ERROR_FLAG, len(data), data))


def send_plain(frame_id: int) -> None:
    other = opened(hardware.VIRTUAL_WIRE)
    other.send([CanFrame(frame_id, b"\x01")])
    other.close()


def until_refused(port: PythonCanPort) -> PortError:
    """The error that sending ends in."""
    end_ns = time.monotonic_ns() + PATIENCE_NS
    number = 0
    while time.monotonic_ns() < end_ns:
        number += 1
        try:
            port.send([CanFrame(0x100, number.to_bytes(4, "big"))])
        except PortError as error:
            return error
    raise AssertionError("every frame was taken")


def test_frames_pass_between_two_controllers(pair: tuple[PythonCanPort, PythonCanPort]) -> None:
    near, far = pair
    for sender, receiver in (pair, (far, near)):
        sender.send([CanFrame(0x123, b"\x01\x02\x03")])
        frame = receiver.receive(soon_ns())
        assert frame is not None and (frame.can_id, frame.data) == (0x123, b"\x01\x02\x03")


def test_an_interface_that_is_taken_down_is_named_and_serves_again_when_it_is_up(
    pair: tuple[PythonCanPort, PythonCanPort],
) -> None:
    near, far = pair
    hardware.ip("set", hardware.NEAR, "down")
    with pytest.raises(PortError, match=f"port socketcan:{hardware.NEAR} is (down|gone)"):
        near.send([CanFrame(1, b"")])
    near.close()
    hardware.ip("set", hardware.NEAR, "up")
    near.open()
    near.send([CanFrame(2, b"")])
    frame = far.receive(soon_ns())
    assert frame is not None and frame.can_id == 2


def test_reading_an_interface_that_was_taken_down_is_no_silence(
    pair: tuple[PythonCanPort, PythonCanPort],
) -> None:
    near, _ = pair
    hardware.ip("set", hardware.NEAR, "down")
    with pytest.raises(PortError, match=f"port socketcan:{hardware.NEAR} is (down|gone)"):
        near.receive(soon_ns())


def test_a_controller_that_is_unplugged_is_named_and_found_again(
    pair: tuple[PythonCanPort, PythonCanPort],
) -> None:
    near, far = pair
    device = Path("/sys/class/net", hardware.NEAR, "device").resolve()
    (device / "remove").write_text("1")
    try:
        with pytest.raises(PortError, match=f"port socketcan:{hardware.NEAR} is gone"):
            near.send([CanFrame(1, b"")])
        with pytest.raises(PortError, match="gone"):
            near.receive(soon_ns())
        near.close()
        with pytest.raises(PortError, match="does not exist"):
            near.open()
    finally:
        Path("/sys/bus/pci/rescan").write_text("1")
        hardware.wait_for(Path("/sys/class/net/can0").exists, "the controller")
        hardware.ip("set", "can0", "name", hardware.NEAR)
        hardware.ip("set", hardware.NEAR, "type", "can", "bitrate", "1000000")
        hardware.ip("set", hardware.NEAR, "up")
    near.open()
    near.send([CanFrame(3, b"")])
    frame = far.receive(soon_ns())
    assert frame is not None and frame.can_id == 3


@pytest.mark.parametrize(("code", "status"), [(NO_ACK, 0), (CONTROLLER, TX_PASSIVE)])
def test_error_frames_that_are_no_end_are_passed_over(
    wire: PythonCanPort, code: int, status: int
) -> None:
    report_error(code, status)
    send_plain(0x55)
    frame = wire.receive(soon_ns())
    assert frame is not None and frame.can_id == 0x55


def test_bus_off_as_drivers_report_it_stops_the_port_until_the_restart(
    wire: PythonCanPort,
) -> None:
    report_error(BUS_OFF)
    with pytest.raises(PortError, match="bus-off"):
        wire.receive(soon_ns())
    with pytest.raises(PortError, match="bus-off"):
        wire.send([CanFrame(1, b"")])
    report_error(RESTARTED)
    wire.close()
    wire.open()
    send_plain(0x56)
    frame = wire.receive(soon_ns())
    assert frame is not None and frame.can_id == 0x56


@pytest.fixture
def adapter() -> Iterator[SlcanAdapter]:
    made = SlcanAdapter(queue_length=1)
    yield made
    made.close()


def test_a_controller_that_went_bus_off_is_noticed_although_the_kernel_takes_frames(
    adapter: SlcanAdapter,
) -> None:
    port = opened(adapter.name)
    adapter.go_bus_off()
    with pytest.raises(PortError, match="bus-off"):
        port.receive(soon_ns())
    with pytest.raises(PortError, match="bus-off"):
        port.send([CanFrame(1, b"")])
    port.close()
    adapter.listen()
    assert adapter.sent == []
    hardware.ip("set", adapter.name, "down")
    hardware.ip("set", adapter.name, "up")
    port.open()
    port.send([CanFrame(2, b"")])
    adapter.listen()
    assert adapter.sent == ["t0020"]
    port.close()


def test_a_full_queue_is_named_and_nothing_stale_follows_once_it_is_open_again(
    adapter: SlcanAdapter,
) -> None:
    port = opened(adapter.name)
    assert "takes no more frames" in str(until_refused(port))
    port.close()
    with pytest.raises(PortError, match=r"still holds frames .* take the interface down and up"):
        port.open()
    adapter.listen()  # the wire is whole again: what was queued runs out
    hardware.wait_for(lambda: reopens(port), "the queue to run out")
    adapter.listen()
    stale = len(adapter.sent)
    port.send([CanFrame(0x7AB, b"")])
    adapter.listen()
    assert stale > 0 and adapter.sent[stale:] == ["t7AB0"]
    port.close()


def test_taking_the_interface_down_purges_what_was_queued(adapter: SlcanAdapter) -> None:
    port = opened(adapter.name)
    until_refused(port)
    port.close()
    hardware.ip("set", adapter.name, "down")
    hardware.ip("set", adapter.name, "up")
    port.open()
    port.close()


def reopens(port: PythonCanPort) -> bool:
    try:
        port.open()
    except PortError:
        return False
    return True
