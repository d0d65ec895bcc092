"""An emulated serial CAN adapter on a simulated bus.

It speaks LAWICEL's ASCII commands, and CANable's for CAN FD.

Not modelled: time stamps, acceptance filters, status flags and auto-poll switches; their commands
are refused as a small adapter refuses them.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
import tty
from pathlib import Path

from firmware_bridge.can_bus.client import BusClient, BusOffError, QueueFullError
from firmware_bridge.can_bus.frame import FD_LENGTHS, MAX_EXTENDED_ID, CanFrame, frame_fault
from firmware_bridge.errors import PortError

OK, REFUSED = b"\r", b"\a"
READ_SIZE = 4096
LONGEST_LINE = 1 + 8 + 1 + 2 * 64
NS_PER_S = 1_000_000_000
_KINDS = {  # letter: extended, remote, FD, switches the rate
    "t": (False, False, False, False),
    "T": (True, False, False, False),
    "r": (False, True, False, False),
    "R": (True, True, False, False),
    "d": (False, False, True, False),
    "D": (True, False, True, False),
    "b": (False, False, True, True),
    "B": (True, False, True, True),
}
_LETTERS = {flags: letter for letter, flags in _KINDS.items()}


def write_frame(frame: CanFrame) -> str:
    """A frame as an adapter's line, without its end."""
    letter = _LETTERS[frame.extended, frame.remote, frame.fd, frame.switch_rate]
    can_id = f"{frame.can_id:08X}" if frame.extended else f"{frame.can_id:03X}"
    data = "" if frame.remote else frame.data.hex().upper()
    return f"{letter}{can_id}{FD_LENGTHS.index(len(frame.data)):X}{data}"


def read_frame(line: str) -> CanFrame | None:
    """The frame that a line asks to be sent, or None for a line that is none."""
    if not line or line[0] not in _KINDS:
        return None
    extended, remote, fd, switch_rate = _KINDS[line[0]]
    at = 9 if extended else 4
    try:
        can_id, length = int(line[1:at], 16), FD_LENGTHS[int(line[at : at + 1], 16)]
        data = bytes(length) if remote else bytes.fromhex(line[at + 1 :])
    except ValueError:
        return None
    frame = CanFrame(can_id, data, extended, remote, fd, switch_rate)
    whole = len(line) == at + 1 + (0 if remote else 2 * length)
    return frame if whole and frame_fault(frame) is None and can_id <= MAX_EXTENDED_ID else None


class SlcanAdapter:
    """``path`` is its tty; ``client`` its controller, open already. Runs inside ``run_until``."""

    def __init__(self, client: BusClient, link: Path | None = None) -> None:
        self.client = client
        self._link = link
        self._is_open = False
        self._pending = b""
        # The user's end stays open here, too: else the line would hang up with each user.
        self._master, self._user_end = os.openpty()
        os.set_blocking(self._master, False)
        tty.setraw(self._user_end)
        self.path = os.ttyname(self._user_end)
        if link is not None:
            try:
                link.symlink_to(self.path)
            except OSError as error:
                self.close()
                raise PortError(f"link {link} cannot be made: {error.strerror}") from error

    def run_until(self, deadline_ns: int) -> None:
        """Run until the monotonic time ``deadline_ns``."""
        while (left_ns := deadline_ns - time.monotonic_ns()) > 0:
            ends = (self.client.fileno(), self._master)
            if select.select(ends, (), (), left_ns / NS_PER_S)[0]:
                self.serve()

    def serve(self) -> None:
        """Carry over what waits on either side."""
        while (item := self.client.receive(0)) is not None:
            if self._is_open and isinstance(item, CanFrame):
                self._say(write_frame(item).encode() + OK)
        with contextlib.suppress(BlockingIOError):
            self._pending += os.read(self._master, READ_SIZE)
        *lines, self._pending = self._pending.split(b"\r")
        self._pending = self._pending[-LONGEST_LINE:]
        for line in lines:
            self._say(self._obey(line.decode("ascii", errors="replace")))

    def _obey(self, line: str) -> bytes:
        """One command; returns the answer."""
        if line[:1] in ("S", "Y"):
            return OK if line[1:].isdecimal() and not self._is_open else REFUSED
        if line in ("O", "L"):
            self._is_open = True
            return OK
        if line == "C":
            self._is_open = False
            return OK
        if line == "V":
            return b"V1013\r"
        return self._send(line) if line else OK

    def _send(self, line: str) -> bytes:
        frame = read_frame(line)
        if frame is None or not self._is_open:
            return REFUSED
        try:
            self.client.send(frame)
        except (QueueFullError, BusOffError, ValueError):
            return REFUSED
        return (b"Z" if frame.extended else b"z") + OK

    def _say(self, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):  # nobody reads: an adapter drops it, too
            os.write(self._master, data)

    def close(self) -> None:
        """Unplug it; closing twice does nothing."""
        if self._link is not None and self._link.is_symlink():
            self._link.unlink()
        self.client.close()
        for descriptor in (self._user_end, self._master):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._user_end = self._master = -1
