"""Asking oatlink controllers: who is there, and how quick."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence

from firmware_bridge.devices import Found
from firmware_bridge.errors import BusTimeout, DeviceError
from firmware_bridge.oatlink import messages, wire
from firmware_bridge.oatlink.can_fd import MAX_NODE
from firmware_bridge.oatlink.codes import State
from firmware_bridge.oatlink.lines import CanFdLine, PayloadLine, SerialLine
from firmware_bridge.oatlink.messages import Welcome
from firmware_bridge.oatlink.wire import Header, MessageType, Sealer
from firmware_bridge.transports import Transport
from firmware_bridge.transports.can_port import CanTransport

ANSWER_NS = 100_000_000
ATTEMPTS = 3
NO_SUSPECT = 255


class OatlinkTools:
    """``DeviceTools`` by HELLO, which changes neither state nor torque.

    A controller that is armed answers its own host alone, and one with a key only who has it: they
    are not found. With a ``key`` only those that have the same are.
    """

    def __init__(
        self, ids: range, line_of: Callable[[int], PayloadLine], fixed_id: str, key: bytes = b""
    ) -> None:
        self.ids, self.fixed_id = ids, fixed_id
        self._line_of = line_of
        self._sealer = Sealer(key)

    def scan(self, ids: Sequence[int]) -> list[Found]:
        """Every node that says WELCOME."""
        asked = ((node, self._welcome(node, ATTEMPTS)) for node in ids)
        return [_describe(node, welcome) for node, welcome in asked if welcome is not None]

    def _welcome(self, node: int, attempts: int) -> Welcome | None:
        line, nonce = self._line_of(node), secrets.randbits(32)
        for sequence in range(1, attempts + 1):
            line.flush()
            hello = self._sealer.seal(
                Header(MessageType.HELLO, sequence, 0), wire.NO_SESSION, messages.pack_word(nonce)
            )
            line.send(hello)
            end_ns = time.monotonic_ns() + ANSWER_NS
            while time.monotonic_ns() < end_ns:
                for payload in line.receive(end_ns):
                    if (welcome := self._read(payload, nonce)) is not None:
                        return welcome
        return None

    def _read(self, payload: bytes, nonce: int) -> Welcome | None:
        frame = self._sealer.open(payload, wire.NO_SESSION, 0)
        if frame is None or frame.header.message_type != MessageType.WELCOME:
            return None
        welcome = messages.unpack_welcome(frame.body)
        return welcome if welcome is not None and welcome.nonce == nonce else None

    def ping(self, device_id: int) -> None:
        """HELLO and WELCOME."""
        if self._welcome(device_id, attempts=1) is None:
            raise BusTimeout(f"no answer from controller {device_id} (HELLO)")

    def set_id(self, device_id: int, new_id: int) -> None:
        """A controller's node is built into it."""
        raise DeviceError(f"controller {device_id} cannot become {new_id}: {self.fixed_id}")


def serial_tools(transport: Transport, key: bytes = b"") -> OatlinkTools:
    """For the one controller on a serial line, here number 0."""
    line = SerialLine(transport)
    fixed = "a serial line has one controller, without id"
    return OatlinkTools(range(1), lambda _: line, fixed, key)


def can_fd_tools(port: CanTransport, key: bytes = b"") -> OatlinkTools:
    """For the controllers on a CAN-FD bus."""
    nodes, with_tag = range(MAX_NODE + 1), bool(key)
    lines = [CanFdLine(port, joints=0, node=node, with_tag=with_tag) for node in nodes]
    fixed = "a controller's node is part of its firmware"
    return OatlinkTools(nodes, lines.__getitem__, fixed, key)


def _describe(node: int, welcome: Welcome) -> Found:
    known = welcome.state in State.__members__.values()
    state = State(welcome.state).name.lower() if known else f"state {welcome.state}"
    if welcome.joints:
        state += f", {welcome.joints} joints"
    if welcome.suspect != NO_SUSPECT:
        state += f", motor {welcome.suspect} last failed"
    return Found(node, "oatlink controller", f"{welcome.firmware_hash:08x}", state)
