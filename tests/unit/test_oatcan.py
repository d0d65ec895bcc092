"""The python-can interface ``oatcan``: several users, several processes, errors as SocketCAN's."""

from __future__ import annotations

import asyncio
import errno
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import can
import pytest

from firmware_bridge.can_bus import rendezvous
from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.interface import OatCanBus
from firmware_bridge.can_bus.socketcan_errors import BUS_OFF, CONTROLLER, RESTARTED
from firmware_bridge.errors import PortError
from firmware_bridge.transports.can_port import PythonCanPort
from tests.contract.rigs import CanChannel, short_runtime_directory

PATIENCE_S = 10.0


@pytest.fixture(autouse=True)
def runtime_directory() -> Iterator[None]:
    with short_runtime_directory():
        yield


@pytest.fixture
def channel() -> Iterator[CanChannel]:
    with CanChannel() as made:
        yield made


def message(can_id: int, data: bytes = b"", **more: bool) -> can.Message:
    return can.Message(
        arbitration_id=can_id, data=data, is_extended_id=more.pop("wide", False), **more
    )


def received(bus: can.BusABC) -> can.Message:
    found = bus.recv(PATIENCE_S)
    assert found is not None
    return found


def test_python_can_finds_it_by_name(channel: CanChannel) -> None:
    with can.Bus(interface="oatcan", channel=channel.name) as bus:
        assert isinstance(bus, OatCanBus)


def test_all_kinds_of_frames_arrive_as_they_were_sent(channel: CanChannel) -> None:
    with OatCanBus(channel.name) as a, OatCanBus(channel.name) as b:
        for sent in (
            message(0x7FF, b"\x01\x02"),
            message(0x1FFFFFFF, bytes(8), wide=True),
            message(0x10, bytes(range(64)), is_fd=True, bitrate_switch=True),
        ):
            a.send(sent)
            assert received(b).equals(sent, timestamp_delta=None, check_channel=False)
        a.send(can.Message(arbitration_id=3, is_remote_frame=True, dlc=8, is_extended_id=False))
        asked = received(b)
        assert asked.is_remote_frame and asked.dlc == 8


def test_own_messages_come_back_only_on_request(channel: CanChannel) -> None:
    with (
        OatCanBus(channel.name, receive_own_messages=True) as a,
        OatCanBus(channel.name) as b,
    ):
        a.send(message(1))
        assert received(a).arbitration_id == received(b).arbitration_id == 1
        b.send(message(2))
        assert received(a).arbitration_id == 2
        assert b.recv(0.02) is None


def test_filters_are_obeyed(channel: CanChannel) -> None:
    wanted = [{"can_id": 0x10, "can_mask": 0x7F0, "extended": False}]
    with OatCanBus(channel.name) as a, OatCanBus(channel.name, can_filters=wanted) as b:
        for can_id in (0x01, 0x15, 0x20):
            a.send(message(can_id))
        assert received(b).arbitration_id == 0x15
        assert b.recv(0.02) is None


def test_a_full_queue_is_enobufs_and_can_be_purged(channel: CanChannel) -> None:
    with OatCanBus(channel.name, tx_queue_length=4) as alone:
        with pytest.raises(can.CanOperationError) as caught:
            for can_id in range(100):
                alone.send(message(can_id), timeout=0.05)
        assert caught.value.error_code == errno.ENOBUFS
        assert alone.state is can.BusState.PASSIVE
        alone.flush_tx_buffer()
        with OatCanBus(channel.name) as other:
            alone.send(message(0x99), timeout=PATIENCE_S)
            heard = received(other).arbitration_id
            assert heard in (0, 0x99)  # what had been on the wire may come first
            assert heard == 0x99 or received(other).arbitration_id == 0x99


def test_bus_off_comes_as_an_error_frame_and_a_restart_ends_it(channel: CanChannel) -> None:
    with OatCanBus(channel.name) as a, OatCanBus(channel.name):
        a.inject(corrupt=32)
        a.send(message(1))
        flags = [received(a) for _ in range(3)]
        assert all(frame.is_error_frame for frame in flags)
        assert [f.arbitration_id & (BUS_OFF | CONTROLLER) for f in flags] == [4, 4, BUS_OFF]
        assert a.state is can.BusState.ERROR
        with pytest.raises(can.CanOperationError) as caught:
            a.send(message(2))
        assert caught.value.error_code == errno.ENETDOWN
        a.restart()
        assert received(a).arbitration_id & RESTARTED
        a.send(message(3))
        assert a.state is can.BusState.ACTIVE


def test_another_bit_rate_is_refused_in_one_line_and_the_bus_lives_on(channel: CanChannel) -> None:
    with pytest.raises(can.CanInitializationError, match="runs at 1000000/5000000"):
        OatCanBus(channel.name, bitrate=500_000)
    with OatCanBus(channel.name) as a, OatCanBus(channel.name) as b:
        a.send(message(1))
        assert received(b).arbitration_id == 1


@pytest.mark.parametrize(
    "nonsense", [b"\x01", b"\x01[]", b"\x01{}", b"\x03", b"\x63abc", bytes(4000)]
)
def test_nonsense_on_the_socket_costs_only_its_sender(channel: CanChannel, nonsense: bytes) -> None:
    path = str(rendezvous.socket_path(channel.name))
    with OatCanBus(channel.name) as a, OatCanBus(channel.name) as b:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
            stranger.settimeout(PATIENCE_S)
            stranger.connect(path)
            stranger.send(nonsense)
            assert b"error" in stranger.recv(4096)
        a.send(message(1))
        assert received(b).arbitration_id == 1


@pytest.mark.parametrize("name", ["", "../up", "a b", "x" * 80])
def test_a_channel_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(can.CanInitializationError, match="is no name"):
        OatCanBus(name)


def test_a_directory_that_others_may_enter_is_refused(monkeypatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "oat-edge").mkdir(mode=0o777)
    (tmp_path / "oat-edge").chmod(0o777)
    with pytest.raises(PortError, match="not this user's alone"):
        rendezvous.socket_path("demo")


def test_an_event_loop_gets_every_message_although_several_come_at_once(
    channel: CanChannel,
) -> None:
    async def count() -> list[int]:
        found: list[int] = []
        with OatCanBus(channel.name) as a, OatCanBus(channel.name) as b:
            notifier = can.Notifier(
                b, [lambda m: found.append(m.arbitration_id)], loop=asyncio.get_running_loop()
            )
            for can_id in range(30):
                a.send(message(can_id), timeout=1.0)
                if can_id % 10 == 9:
                    b.send(message(0x700))  # collects, on its way, what has come
            for _ in range(500):
                if len(found) == 30:
                    break
                await asyncio.sleep(0.01)
            notifier.stop()
        return found

    assert sorted(asyncio.run(count())) == list(range(30))


def test_processes_share_a_bus_that_comes_with_the_first_and_goes_with_the_last() -> None:
    echo = (
        "import can, sys\n"
        "bus = can.Bus(interface='oatcan', channel='shared')\n"
        "print('ready', flush=True)\n"
        "heard = bus.recv(10)\n"
        "bus.send(can.Message(arbitration_id=heard.arbitration_id + 1, data=heard.data,"
        " is_extended_id=False))\n"
        "bus.recv(10)\n"
        "bus.shutdown()\n"
    )
    with OatCanBus("shared") as bus:
        with subprocess.Popen([sys.executable, "-c", echo], stdout=subprocess.PIPE) as other:
            assert other.stdout is not None and other.stdout.readline() == b"ready\n"
            bus.send(message(0x10, b"hello"))
            answer = received(bus)
            assert (answer.arbitration_id, bytes(answer.data)) == (0x11, b"hello")
            bus.send(message(0x12))
        assert other.returncode == 0
    path = rendezvous.socket_path("shared")
    end = time.monotonic() + PATIENCE_S
    while any(path.parent.iterdir()) and time.monotonic() < end:
        time.sleep(0.01)
    assert not list(path.parent.iterdir())


def test_the_port_reports_bus_off_until_it_is_opened_again(channel: CanChannel) -> None:
    port = PythonCanPort("oatcan", channel.name, data_bitrate=5_000_000)
    port.open()
    with OatCanBus(channel.name) as other:
        other.inject(corrupt=32)
        port.send([CanFrame(1)])
        with pytest.raises(PortError, match="is bus-off"):
            port.receive(time.monotonic_ns() + 5_000_000_000)
        with pytest.raises(PortError, match="is bus-off"):
            port.send([CanFrame(2)])
        port.close()
        port.open()
        port.send([CanFrame(3)])
        assert [m.arbitration_id for m in iter(lambda: other.recv(0.5), None) if m][-1] == 3
    port.close()


def test_an_interface_that_does_not_exist_is_named() -> None:
    with pytest.raises(PortError, match="port nonsense:x cannot be opened"):
        PythonCanPort("nonsense", "x").open()
