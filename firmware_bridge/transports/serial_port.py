"""A serial port (UART, RS-485 adapter, USB CDC or a pty) through pyserial."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import termios
import time

import serial

from firmware_bridge.errors import PortError
from firmware_bridge.transports.usb_ports import UsbPort, path_of, usb_port_behind

READ_SIZE = 4096
NS_PER_S = 1_000_000_000

_OPEN_FAULTS = {
    errno.ENOENT: "does not exist",
    errno.ENXIO: "has no device behind it",
    errno.ENODEV: "has no device behind it",
    errno.EACCES: "is not ours to open: add this user to the group that owns it (often dialout)",
    errno.EPERM: "is not ours to open: add this user to the group that owns it (often dialout)",
    errno.EBUSY: "is busy: another process has it open",
    errno.EAGAIN: "is busy: another process has it open",
    errno.ENOTTY: "is not a serial port",
    errno.EISDIR: "is not a serial port",
}


class SerialPort:
    """``Transport`` over a tty: exclusive, 8N1, in the driver's low-latency mode if it has one.

    Opened again it is the same USB adapter, by its serial number, even under another name.
    """

    def __init__(self, path: str, baud: int) -> None:
        self.path = path
        self.baud = baud
        self._serial: serial.Serial | None = None
        self._fd = -1
        self._adapter: UsbPort | None = None  # known from the first time it was open

    def open(self) -> None:
        """Open the port; raises ``PortError`` that says why not."""
        if self._serial is not None:
            raise PortError(f"port {self.path} is already open")
        path = self._current_path()
        port = self._open_exclusively(path)
        self._adapter = self._adapter or usb_port_behind(path)
        with contextlib.suppress(OSError, ValueError, NotImplementedError):
            port.set_low_latency_mode(True)  # a driver without it (pty, CDC) refuses
        self._serial, self._fd = port, port.fileno()
        self._flush(termios.TCIOFLUSH)  # what was not sent before a fault is of another time

    def _current_path(self) -> str:
        """Where the adapter that was open before is now; else the path that was given."""
        known = self._adapter
        if known is None:
            return self.path
        if (found := path_of(known)) is not None:
            return found
        other = usb_port_behind(self.path)
        if other is not None and other != known:
            raise PortError(
                f"port {self.path} is another adapter now: serial number {other.serial_number}, "
                f"not {known.serial_number}"
            )
        return self.path

    def _open_exclusively(self, path: str) -> serial.Serial:
        try:
            return serial.Serial(path, self.baud, timeout=0, exclusive=True)
        except (OSError, termios.error, ValueError) as error:
            raise PortError(f"port {self.path} {_open_fault(error)}") from error

    def write(self, data: bytes) -> None:
        """Hand ``data`` to the driver; raises ``PortError`` when the port is gone or full."""
        try:
            written = os.write(self._open_fd(), data)
        except BlockingIOError:
            written = 0
        except OSError as error:
            raise self._gone(error) from error
        if written != len(data):
            raise PortError(f"port {self.path} takes no more bytes: its output queue is full")

    def read(self, minimum: int, deadline_ns: int) -> bytes:
        """Return at least ``minimum`` bytes, or fewer (even none) when the deadline comes first."""
        received = b""
        while len(received) < minimum and self._wait(deadline_ns):
            received += self._read_available()
        return received

    def _wait(self, deadline_ns: int) -> bool:
        timeout_s = max(0, deadline_ns - time.monotonic_ns()) / NS_PER_S
        return bool(select.select((self._open_fd(),), (), (), timeout_s)[0])

    def _read_available(self) -> bytes:
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone(error) from error
        if not data:  # readable and empty: the other end hung up
            raise self._gone(None)
        return data

    def fileno(self) -> int:
        """Descriptor that is readable when bytes have come; raises ``PortError`` when closed."""
        return self._open_fd()

    def flush_input(self) -> None:
        """Throw away what the driver holds for us."""
        self._flush(termios.TCIFLUSH)

    def _flush(self, queues: int) -> None:
        try:
            termios.tcflush(self._open_fd(), queues)
        except termios.error as error:
            raise self._gone(error) from error

    def close(self) -> None:
        """Close the port if it is open."""
        port, self._serial, self._fd = self._serial, None, -1
        if port is not None:
            with contextlib.suppress(OSError, termios.error):  # a pulled adapter cannot say goodbye
                port.close()

    def _open_fd(self) -> int:
        if self._fd < 0:
            raise PortError(f"port {self.path} is not open")
        return self._fd

    def _gone(self, cause: Exception | None) -> PortError:
        reason = f" ({cause})" if cause is not None else ""
        return PortError(f"port {self.path} is gone: cable or adapter unplugged{reason}")


def _open_fault(error: Exception) -> str:
    code = getattr(error, "errno", None)
    if code is None and isinstance(error.__context__, termios.error):  # pyserial hides it there
        code = error.__context__.args[0]
    if "exclusively lock" in str(error):
        code = errno.EBUSY
    return _OPEN_FAULTS.get(code or 0, f"cannot be opened: {error}")
