"""One controller on a simulated bus, seen from the process that uses it."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from firmware_bridge.can_bus import envelope
from firmware_bridge.can_bus.bit_time import BitRates
from firmware_bridge.can_bus.broker import NEWS_KINDS
from firmware_bridge.can_bus.envelope import Kind
from firmware_bridge.can_bus.error_state import BUS_OFF_LIMIT
from firmware_bridge.can_bus.frame import CanFrame, frame_fault
from firmware_bridge.can_bus.node import EventKind
from firmware_bridge.can_bus.rendezvous import socket_path, start_broker
from firmware_bridge.errors import PortError

CONNECT_ATTEMPTS = 20
CONNECT_PAUSE_S = 0.05
WELCOME_TIMEOUT_S = 5.0
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """What a controller is set to. ``queue_length`` frames may wait for the bus."""

    rates: BitRates = field(default_factory=BitRates)
    fd: bool = True
    listen_only: bool = False
    report_errors: bool = False
    queue_length: int = 10


class News(NamedTuple):
    """An event of this controller with its error counters after it."""

    kind: EventKind
    transmit_errors: int
    receive_errors: int
    stamp_ns: int


class QueueFullError(PortError):
    """As many frames wait for the bus as the controller's queue holds."""


class BusOffError(PortError):
    """The controller is off the bus; ``restart`` asks to come back."""


class BusClient:
    """Sends, receives, keeps this controller's state; raises ``PortError`` naming the channel."""

    def __init__(self, channel: str, settings: ControllerSettings) -> None:
        self.channel = channel
        self.settings = settings
        self.node = 0
        self.waiting = 0  # frames handed over that the bus has not taken yet
        self.bus_off = False
        self.transmit_errors = 0
        self.receive_errors = 0
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Join the bus, and start it if this is the first user."""
        for _ in range(CONNECT_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError, ConnectionError):
                self._join()
                return
            start_broker(self.channel, self.settings.rates)
            time.sleep(CONNECT_PAUSE_S)
        raise PortError(f"channel {self.channel} has no broker and none could be started")

    def _join(self) -> None:
        path = str(socket_path(self.channel))
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.settimeout(WELCOME_TIMEOUT_S)
            connection.connect(path)
            connection.send(envelope.encode_json(Kind.HELLO, self._hello()))
            answer = connection.recv(envelope.MAX_DATAGRAM)
            if not answer:
                raise ConnectionResetError("the broker was about to leave")
            welcome = envelope.decode_json(answer)
            if "error" in welcome:
                raise PortError(welcome["error"])
        except TimeoutError as error:
            connection.close()
            raise PortError(f"channel {self.channel} does not answer") from error
        except BaseException:
            connection.close()
            raise
        connection.setblocking(False)
        self.node = welcome["node"]
        self._socket = connection

    def _hello(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "version": envelope.VERSION,
            "bitrate": settings.rates.nominal,
            "data_bitrate": settings.rates.data,
            "fd": settings.fd,
            "listen_only": settings.listen_only,
            "report_errors": settings.report_errors,
        }

    def send(self, frame: CanFrame, ready_ns: int | None = None) -> None:
        """Queue a frame that was ready at ``ready_ns`` (default: now).

        Raises ``QueueFullError``, ``BusOffError``, ``PortError``; ``ValueError`` for a frame that
        no bus can carry.
        """
        fault = frame_fault(frame)
        if fault is not None or (frame.fd and not self.settings.fd):
            raise ValueError(f"frame refused: {fault or 'this controller has no CAN FD'}")
        if self.bus_off:
            raise BusOffError(f"channel {self.channel}: this controller is bus-off")
        if self.waiting >= self.settings.queue_length:
            raise QueueFullError(f"channel {self.channel} takes no more frames: its queue is full")
        stamp_ns = time.monotonic_ns() if ready_ns is None else ready_ns
        self._write(envelope.encode_frame(frame._replace(stamp_ns=stamp_ns)))
        self.waiting += 1

    def receive(self, deadline_ns: int) -> CanFrame | News | None:
        """The next frame or event, or None at the monotonic deadline."""
        while True:
            datagram = self._read(deadline_ns)
            if datagram is None:
                return None
            if datagram[0] == Kind.FRAME:
                return envelope.decode_frame(datagram)
            if datagram[0] == Kind.NEWS:
                return self._take_news(datagram)

    def _take_news(self, datagram: bytes) -> News:
        code, self.transmit_errors, self.receive_errors, stamp_ns = envelope.decode_news(datagram)
        kind = NEWS_KINDS[code]
        if kind in (EventKind.SENT, EventKind.PURGED):
            self.waiting -= 1
        elif kind is EventKind.STATE:
            self.bus_off = self.transmit_errors > BUS_OFF_LIMIT
        elif kind is EventKind.RESTARTED:
            self.bus_off = False
        return News(kind, self.transmit_errors, self.receive_errors, stamp_ns)

    def purge(self) -> None:
        """Throw away the frames that wait for the bus; ``PURGED`` comes for each."""
        self._write(bytes((Kind.PURGE,)))

    def restart(self) -> None:
        """Come back from bus-off; ``RESTARTED`` comes when the bus had been quiet long enough."""
        self._write(bytes((Kind.RESTART,)))

    def inject(self, **faults: int | None) -> None:
        """Give the whole bus faults (see ``Faults``); they act from the next frame on."""
        self._write(envelope.encode_json(Kind.FAULT, faults))

    def fileno(self) -> int:
        """Descriptor that is readable when ``receive`` has something."""
        return self._open_socket().fileno()

    def close(self) -> None:
        """Leave the bus; closing twice does nothing."""
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

    def _write(self, datagram: bytes) -> None:
        try:
            self._open_socket().send(datagram)
        except BlockingIOError as error:
            raise QueueFullError(f"channel {self.channel} does not keep up") from error
        except OSError as error:
            raise PortError(f"channel {self.channel} is gone ({error})") from error

    def _read(self, deadline_ns: int) -> bytes | None:
        connection = self._open_socket()
        while True:
            try:
                datagram = connection.recv(envelope.MAX_DATAGRAM)
            except BlockingIOError:
                timeout_s = (deadline_ns - time.monotonic_ns()) / NS_PER_S
                if timeout_s <= 0 or not select.select((connection,), (), (), timeout_s)[0]:
                    return None
                continue
            except OSError as error:
                raise PortError(f"channel {self.channel} is gone ({error})") from error
            if not datagram:
                raise PortError(f"channel {self.channel} is gone: its broker left")
            return datagram

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise PortError(f"channel {self.channel} is not open")
        return self._socket
