"""Serves one simulated CAN bus on a Unix socket to any number of processes."""

from __future__ import annotations

import select
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from firmware_bridge.can_bus import envelope
from firmware_bridge.can_bus.bit_time import BitRates
from firmware_bridge.can_bus.envelope import Kind
from firmware_bridge.can_bus.frame import frame_fault
from firmware_bridge.can_bus.medium import SimulatedBus
from firmware_bridge.can_bus.node import Event, EventKind, Node
from firmware_bridge.can_bus.rendezvous import give_back_channel
from firmware_bridge.timers import sharpen_timers

MAX_CLIENTS = 64
MAX_QUEUE = 1024
PATIENCE_NS = 5_000_000_000  # how long a broker waits for its first client
DATAGRAMS_PER_TURN = 64
NS_PER_S = 1_000_000_000
SEND_BUFFER = 1 << 20
NEWS_CODES = {kind: code for code, kind in enumerate(EventKind, start=1)}
NEWS_KINDS = {code: kind for kind, code in NEWS_CODES.items()}


@dataclass(slots=True)
class Client:
    """One connection; ``node`` is None until it has said who it is."""

    socket: socket.socket
    node: Node | None = None
    report_errors: bool = False
    lost: int = field(default=0)  # events that it did not fetch in time


class Broker:
    """The loop around ``SimulatedBus``: call ``run_once`` until ``finished``.

    Owns the listening socket and the channel's lock and gives both back in ``close``.
    """

    def __init__(self, channel: str, rates: BitRates, listener: socket.socket, lock: int) -> None:
        self.bus = SimulatedBus(rates)
        self._channel = channel
        self._listener = listener
        self._lock = lock
        self._clients: dict[int, Client] = {}
        self._by_node: dict[Node, Client] = {}
        self._end_ns = time.monotonic_ns() + PATIENCE_NS
        listener.setblocking(False)

    @property
    def finished(self) -> bool:
        """Tell whether the last client has left, or none came in time."""
        return not self._clients and time.monotonic_ns() >= self._end_ns

    def run_once(self, deadline_ns: int) -> None:
        """Wait for the next thing to do, at most until ``deadline_ns``, and do it."""
        timeout_s = max(0, self._wake_ns(deadline_ns) - time.monotonic_ns()) / NS_PER_S
        sockets = [self._listener, *(client.socket for client in self._clients.values())]
        readable, _, _ = select.select(sockets, (), (), timeout_s)
        for ready in readable:
            if ready is self._listener:
                self._accept()
            elif ready.fileno() in self._clients:
                self._hear(self._clients[ready.fileno()])
        self._tell(self.bus.advance(time.monotonic_ns()))

    def hear_clients(self) -> None:
        """Do what every client has asked for by now."""
        for client in [*self._clients.values()]:
            self._hear(client)

    def _wake_ns(self, deadline_ns: int) -> int:
        due_ns = self.bus.next_due_ns()
        return deadline_ns if due_ns is None else min(due_ns, deadline_ns)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        client = Client(connection)
        self._clients[connection.fileno()] = client
        if len(self._clients) > MAX_CLIENTS:
            self._refuse(client, f"channel {self._channel} has {MAX_CLIENTS} users already")

    def _hear(self, client: Client) -> None:
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                datagram = client.socket.recv(envelope.MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                datagram = b""
            if not datagram:
                self._drop(client)
                return
            try:
                self._obey(client, datagram)
            except (ValueError, struct.error) as error:
                self._refuse(client, f"datagram not understood: {error}")
            if client.socket.fileno() < 0:  # refused
                return

    def _obey(self, client: Client, datagram: bytes) -> None:
        kind, node = datagram[0], client.node
        if node is None:
            self._welcome(client, envelope.decode_json(datagram))
        elif kind == Kind.FRAME:
            self._queue(node, datagram)
        elif kind == Kind.PURGE:
            self.bus.purge(node, time.monotonic_ns())
        elif kind == Kind.RESTART:
            self.bus.restart(node, time.monotonic_ns())
        elif kind == Kind.FAULT:
            self._inject(client, envelope.decode_json(datagram))
        else:
            raise ValueError(f"kind {kind}")

    def _queue(self, node: Node, datagram: bytes) -> None:
        frame = envelope.decode_frame(datagram)
        fault = frame_fault(frame)
        if fault is not None:
            raise ValueError(fault)
        if len(node.queue) >= MAX_QUEUE:
            raise ValueError(f"more than {MAX_QUEUE} frames in the queue")
        self.bus.queue(node, frame, min(frame.stamp_ns, time.monotonic_ns()))

    def _inject(self, client: Client, changes: dict[str, Any]) -> None:
        answer: dict[str, Any] = {}
        try:
            self.bus.inject(changes, time.monotonic_ns())
        except ValueError as error:
            answer = {"error": str(error)}
        self._send(client, envelope.encode_json(Kind.FAULT_TAKEN, answer))

    def _welcome(self, client: Client, hello: dict[str, Any]) -> None:
        rates = self.bus.rates
        wanted = BitRates(hello.get("bitrate", 0), hello.get("data_bitrate", 0))
        if hello.get("version") != envelope.VERSION:
            self._refuse(client, f"broker speaks version {envelope.VERSION}")
        elif wanted.nominal != rates.nominal or (hello.get("fd") and wanted.data != rates.data):
            here = f"{rates.nominal}/{rates.data} bit/s"
            asked = f"{wanted.nominal}/{wanted.data}"
            self._refuse(client, f"channel {self._channel} runs at {here}, not {asked}")
        else:
            client.node = self.bus.attach(bool(hello.get("fd")), bool(hello.get("listen_only")))
            client.report_errors = bool(hello.get("report_errors"))
            self._by_node[client.node] = client
            answer = {"node": client.node.number}
            self._send(client, envelope.encode_json(Kind.WELCOME, answer))

    def _refuse(self, client: Client, reason: str) -> None:
        self._send(client, envelope.encode_json(Kind.WELCOME, {"error": reason}))
        self._drop(client)

    def _drop(self, client: Client) -> None:
        del self._clients[client.socket.fileno()]
        if client.node is not None:
            self.bus.detach(client.node)
            del self._by_node[client.node]
        client.socket.close()
        if not self._clients:
            self._end_ns = time.monotonic_ns()

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            client = self._by_node.get(event.node)
            if client is None or (event.kind is EventKind.BUS_ERROR and not client.report_errors):
                continue
            if event.kind is EventKind.FRAME and event.frame is not None:
                self._send(client, envelope.encode_frame(event.frame))
                continue
            errors = event.transmit_errors, event.receive_errors
            news = (NEWS_CODES[event.kind], *errors, event.stamp_ns)
            self._send(client, envelope.encode_news(*news))

    def _send(self, client: Client, datagram: bytes) -> None:
        try:
            client.socket.send(datagram)
        except BlockingIOError:
            client.lost += 1
        except OSError:
            pass  # it has gone; the next read notices

    def close(self) -> None:
        """Unlink the socket, hang up on everybody, let the channel go."""
        self._listener.close()
        for client in self._clients.values():
            client.socket.close()
        self._clients.clear()
        give_back_channel(self._channel, self._lock)


def main(arguments: list[str]) -> None:
    """Process entry: channel, descriptors of listener and lock, nominal and data bit rate."""
    channel = arguments[0]
    listener_fd, lock, nominal, data = map(int, arguments[1:])
    with suppress(OSError, AttributeError):
        sharpen_timers()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the clients
    listener = socket.socket(fileno=listener_fd)
    broker = Broker(channel, BitRates(nominal, data), listener, lock)
    try:
        while not broker.finished:
            broker.run_once(time.monotonic_ns() + NS_PER_S)
    finally:
        broker.close()


if __name__ == "__main__":
    main(sys.argv[1:])
