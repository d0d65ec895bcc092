"""A pseudo-terminal in front of a serial port: its user works as on the port, and we see it."""

from __future__ import annotations

import contextlib
import os
import select
import time
import tty
from pathlib import Path
from types import TracebackType

from firmware_bridge.devices import DEVICE, HOST
from firmware_bridge.errors import PortError
from firmware_bridge.transports.serial_port import SerialPort

READ_SIZE = 4096
NS_PER_S = 1_000_000_000


class SerialRelay:
    """Bytes of both directions, handed over as they come; a context manager.

    ``port`` is open already. ``lost`` counts bytes that the user did not fetch in time.
    """

    def __init__(self, port: SerialPort, link: Path) -> None:
        self.lost = 0
        self._port = port
        self._link = link
        # The user's end stays open here, too: else the line would hang up with each user.
        self._master, self._user_end = os.openpty()
        os.set_blocking(self._master, False)
        tty.setraw(self._user_end)
        try:
            link.symlink_to(os.ttyname(self._user_end))
        except OSError as error:
            self._close_ends()
            raise PortError(f"link {link} cannot be made: {error.strerror}") from error

    def pass_on(self, deadline_ns: int) -> list[tuple[str, bytes]]:
        """Wait for bytes, at most until the deadline; returns (sender, bytes) of what passed.

        Raises ``PortError`` when the port is gone.
        """
        timeout_s = max(0, deadline_ns - time.monotonic_ns()) / NS_PER_S
        ends = (self._port.fileno(), self._master)
        ready, _, _ = select.select(ends, (), (), timeout_s)
        passed: list[tuple[str, bytes]] = []
        if self._master in ready and (data := os.read(self._master, READ_SIZE)):
            self._port.write(data)
            passed.append((HOST, data))
        if ends[0] in ready:
            data = self._port.read(1, time.monotonic_ns())
            self._hand_over(data)
            passed.append((DEVICE, data))
        return passed

    def _hand_over(self, data: bytes) -> None:
        try:
            written = os.write(self._master, data)
        except BlockingIOError:
            written = 0
        self.lost += len(data) - written

    def close(self) -> None:
        """Take the pseudo-terminal and its link away."""
        with contextlib.suppress(FileNotFoundError):
            self._link.unlink()
        self._close_ends()

    def _close_ends(self) -> None:
        os.close(self._user_end)
        os.close(self._master)

    def __enter__(self) -> SerialRelay:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
