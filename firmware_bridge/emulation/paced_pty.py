"""A pseudo-terminal that is as slow as the line it stands for."""

from __future__ import annotations

import contextlib
import os
import select
import time
import tty
from collections import deque
from pathlib import Path
from typing import NamedTuple

from firmware_bridge.emulation.wire import WireDevice
from firmware_bridge.errors import PortError

BITS_PER_BYTE = 10  # start, 8 data, stop
NS_PER_S = 1_000_000_000
READ_SIZE = 4096
SPIN_NS = 60_000

PTY_FOLDER = "/dev/pts/"


class _Answer(NamedTuple):
    begin_ns: int
    due_ns: int
    data: bytes


class PacedPty:
    """One half-duplex line at ``baud``: bytes of both directions take turns on it.

    A pty moves bytes at once; here they arrive at ``max(line free, now) + 10·n / baud``. The device
    is handed them at once, with the time of their arrival: nothing can come between, and it saves a
    wake-up. The answers to one instruction reach the host together at the end of the last, as
    through a USB adapter. Nothing runs by itself: call ``service`` whenever ``wait`` returns. A
    client may close and open its end as often as it likes. ``collisions`` counts bytes sent while
    the device was still answering, ``overruns`` bytes that no client fetched in time.
    """

    def __init__(self, baud: int, link: Path | None = None) -> None:
        self.collisions = 0
        self.overruns = 0
        self._ns_per_byte = BITS_PER_BYTE * NS_PER_S / baud
        self._free_ns = 0
        self._leaving: deque[_Answer] = deque()
        # The client's end stays open here, too: else the line would hang up with each client.
        self._master, self._client_end = os.openpty()
        os.set_blocking(self._master, False)
        tty.setraw(self._client_end)
        self.path = os.ttyname(self._client_end)
        self.link = link
        if link is not None:
            _point(link, self.path)

    def service(self, now_ns: int, device: WireDevice) -> None:
        """Fetch the client's bytes, let the device answer them, hand over what is due."""
        data = self._fetch()
        if data:
            answering = self._leaving and self._leaving[0].begin_ns <= now_ns
            self.collisions += len(data) if answering else 0
            self._answer(device, data, self._occupy(now_ns, len(data)))
        while self._leaving and self._leaving[0].due_ns <= now_ns:
            self._hand_over(self._leaving.popleft().data)

    @property
    def idle(self) -> bool:
        """Tell whether no answer is on the line."""
        return not self._leaving

    def next_due_ns(self) -> int | None:
        """Monotonic time at which ``service`` has something to do without new bytes."""
        return self._leaving[0].due_ns if self._leaving else None

    def wait(self, until_ns: int) -> None:
        """Sleep until a byte comes, something is due, or the monotonic time ``until_ns``.

        The last ``SPIN_NS`` before an answer is due are spun: waking up would make it late.
        """
        due_ns = self.next_due_ns()
        wake_ns = until_ns if due_ns is None else min(until_ns, due_ns - SPIN_NS)
        timeout_s = (wake_ns - time.monotonic_ns()) / NS_PER_S
        if timeout_s > 0:
            select.select((self._master,), (), (), timeout_s)
        elif due_ns is not None and due_ns <= until_ns:
            while time.monotonic_ns() < due_ns:
                pass

    def fileno(self) -> int:
        """Descriptor that is readable when the client has sent something."""
        return self._master

    def close(self) -> None:
        """Pull the cable: a client that has the port open gets a hang-up; the link goes."""
        for descriptor in (self._client_end, self._master):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._client_end = self._master = -1
        if (
            self.link is not None
            and self.link.is_symlink()
            and str(self.link.readlink()) == self.path
        ):
            self.link.unlink()

    def _fetch(self) -> bytes:
        try:
            return os.read(self._master, READ_SIZE)
        except BlockingIOError:
            return b""

    def _answer(self, device: WireDevice, data: bytes, arrived_ns: int) -> None:
        replies = device.receive(data, arrived_ns)
        if not replies:
            return
        for reply in replies:
            self._occupy(arrived_ns + reply.delay_ns, len(reply.data), reply.delay_ns)
        data = b"".join([reply.data for reply in replies])
        self._leaving.append(_Answer(arrived_ns, self._free_ns, data))

    def _occupy(self, start_ns: int, count: int, delay_ns: int = 0) -> int:
        """Take the line for ``count`` bytes; returns when the last one is through."""
        begin_ns = max(self._free_ns + delay_ns, start_ns)
        self._free_ns = begin_ns + round(count * self._ns_per_byte)
        return self._free_ns

    def _hand_over(self, data: bytes) -> None:
        try:
            written = os.write(self._master, data)
        except BlockingIOError:
            written = 0
        self.overruns += len(data) - written


def _point(link: Path, target: str) -> None:
    ours = link.is_symlink() and str(link.readlink()).startswith(PTY_FOLDER)
    if not ours and (link.exists() or link.is_symlink()):
        raise PortError(f"link {link} exists and leads to no pseudo-terminal")
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    except OSError as error:
        raise PortError(f"link {link} cannot be made: {error.strerror}") from error
