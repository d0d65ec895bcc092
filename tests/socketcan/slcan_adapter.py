"""A serial CAN adapter under the kernel's ``slcan`` driver, played by the test.

It makes a real network interface whose controller state the test decides on, which QEMU's
controllers cannot do. The texts are those of the driver, drivers/net/can/slcan/slcan-core.c.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import tty

from tests.socketcan import hardware

N_SLCAN = 17  # linux/tty.h
SIOCGIFNAME = 0x8910
READ_SIZE = 4096


class SlcanAdapter:
    """An adapter whose interface ``name`` is up; what the host sends arrives in ``sent``."""

    def __init__(self, queue_length: int = 10) -> None:
        self._adapter, self._line = os.openpty()
        os.set_blocking(self._adapter, False)
        tty.setraw(self._line)
        fcntl.ioctl(self._line, termios.TIOCSETD, struct.pack("i", N_SLCAN))
        request = fcntl.ioctl(self._line, SIOCGIFNAME, bytes(16))
        self.name = request.rstrip(b"\0").decode()
        hardware.ip("set", self.name, "txqueuelen", str(queue_length))
        hardware.ip("set", self.name, "up")
        self.sent: list[str] = []

    def go_bus_off(self) -> None:
        """Report 256 transmit errors and the state that follows from it."""
        os.write(self._adapter, b"sb000256\r")

    def listen(self) -> None:
        """Take what the host has sent; an adapter that does not listen takes no more frames."""
        received = b""
        while select.select((self._adapter,), (), (), 0.2)[0]:
            received += os.read(self._adapter, READ_SIZE)
        lines = received.decode().split("\r")
        self.sent += [line for line in lines if line[:1] in ("t", "T")]

    def close(self) -> None:
        """Unplug it."""
        os.close(self._line)
        os.close(self._adapter)
