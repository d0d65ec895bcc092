"""The paced pseudo-terminal and the serial transport on it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from firmware_bridge.emulation.paced_pty import PacedPty
from firmware_bridge.emulation.wire import Reply
from firmware_bridge.errors import PortError
from firmware_bridge.transports.serial_port import SerialPort

US = 1_000
BYTE_US = 10  # at 1 Mbaud
SOON_NS = 5_000_000_000


class Echo:
    """Answers with two replies of four bytes, 20 us apart."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, bytes]] = []

    def receive(self, data: bytes, now_ns: int) -> list[Reply]:
        self.heard.append((now_ns, data))
        return [Reply(0, data[:4]), Reply(20 * US, b"last")]


@pytest.fixture
def pty():  # type: ignore[no-untyped-def]
    line = PacedPty(1_000_000)
    yield line
    line.close()


def opened(line: PacedPty) -> SerialPort:
    port = SerialPort(line.path, 1_000_000)
    port.open()
    return port


def test_bytes_arrive_after_their_time_on_the_wire_and_answers_after_theirs(pty: PacedPty) -> None:
    port, device, start = opened(pty), Echo(), 1_000_000 * US
    port.write(b"question--")
    pty.service(start, device)
    arrived = start + 10 * BYTE_US * US
    assert device.heard == [(arrived, b"question--")]
    answered = arrived + (8 * BYTE_US + 20) * US
    assert pty.next_due_ns() == answered
    pty.service(answered - 1, device)
    assert port.read(1, 0) == b""
    pty.service(answered, device)
    assert port.read(8, time.monotonic_ns() + SOON_NS) == b"queslast"
    assert pty.idle and pty.collisions == 0
    port.close()


def test_a_question_waits_until_the_line_is_free_and_counts_as_a_collision(pty: PacedPty) -> None:
    port, device = opened(pty), Echo()
    port.write(b"1234")
    pty.service(0, device)
    port.write(b"5678")
    pty.service(50 * US, device)
    assert pty.collisions == 4
    free_us = 40 + 8 * BYTE_US + 20
    assert device.heard[1] == ((free_us + 4 * BYTE_US) * US, b"5678")
    port.close()


def test_the_rest_of_a_question_that_follows_at_once_is_no_collision(pty: PacedPty) -> None:
    port, device = opened(pty), Echo()
    port.write(b"1234")
    pty.service(0, device)
    port.write(b"5678")
    pty.service(39 * US, device)
    assert pty.collisions == 0


def test_a_client_may_leave_and_come_back(pty: PacedPty) -> None:
    device = Echo()
    for _ in range(3):
        port = opened(pty)
        port.write(b"hello")
        pty.service(0, device)
        pty.service(SOON_NS, device)
        pty.service(2 * SOON_NS, device)
        assert port.read(8, time.monotonic_ns() + SOON_NS) == b"helllast"
        port.close()
        pty.service(3 * SOON_NS, device)
    assert len(device.heard) == 3


def test_what_an_earlier_client_left_unread_is_not_read_by_the_next(pty: PacedPty) -> None:
    device, first = Echo(), opened(pty)
    first.write(b"stale")
    pty.service(0, device)
    pty.service(SOON_NS, device)
    pty.service(2 * SOON_NS, device)
    first.close()
    second = opened(pty)
    assert second.read(1, 0) == b""
    second.close()


def test_a_link_points_at_the_port_and_goes_with_it(tmp_path: Path) -> None:
    link = tmp_path / "ttyDXL"
    stale = PacedPty(1_000_000, link)
    line = PacedPty(1_000_000, link)
    stale.close()
    assert str(link.readlink()) == line.path
    line.close()
    assert not link.is_symlink()


def test_a_link_never_replaces_a_file(tmp_path: Path) -> None:
    taken = tmp_path / "notes.txt"
    taken.write_text("mine")
    with pytest.raises(PortError, match=r"notes.txt exists and leads to no pseudo-terminal"):
        PacedPty(1_000_000, taken)
    assert taken.read_text() == "mine"


def test_a_missing_port_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "ttyDXL")
    with pytest.raises(PortError, match=rf"^port {path} does not exist$"):
        SerialPort(path, 1_000_000).open()


def test_a_file_is_no_port(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    with pytest.raises(PortError, match="is not a serial port"):
        SerialPort(str(path), 1_000_000).open()


def test_a_port_has_one_owner(pty: PacedPty) -> None:
    first = opened(pty)
    with pytest.raises(PortError, match="is busy: another process has it open"):
        opened(pty)
    first.close()
    opened(pty).close()


def test_a_closed_port_says_so(pty: PacedPty) -> None:
    port = SerialPort(pty.path, 1_000_000)
    for use in (lambda: port.write(b"x"), lambda: port.read(1, 0), port.flush_input):
        with pytest.raises(PortError, match="is not open"):
            use()
    port.close()


def test_an_unusual_baud_rate_opens(pty: PacedPty) -> None:
    port = SerialPort(pty.path, 1_234_567)
    port.open()
    port.close()


def test_a_pulled_cable_is_an_error_for_reading_and_for_writing(pty: PacedPty) -> None:
    port = opened(pty)
    pty.close()
    with pytest.raises(PortError, match=r"is gone: cable or adapter unplugged"):
        port.read(1, time.monotonic_ns() + SOON_NS)
    with pytest.raises(PortError, match=r"is gone: cable or adapter unplugged"):
        port.write(b"x")
    port.close()


def test_a_read_returns_what_there_is_at_its_deadline(pty: PacedPty) -> None:
    port = opened(pty)
    os.write(pty._master, b"abc")
    assert port.read(10, time.monotonic_ns() + 20_000_000) == b"abc"
    assert port.read(10, time.monotonic_ns() - 1) == b""
    port.close()


def test_answers_that_nobody_fetches_are_dropped_and_counted(pty: PacedPty) -> None:
    for _ in range(100):
        pty._hand_over(bytes(1024))
    assert pty.overruns > 0
