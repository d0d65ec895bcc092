"""Names for oatlink messages, on serial lines and CAN-FD.

A tap knows no session and no key, so it looks at the header alone and vouches for nothing.
"""

from __future__ import annotations

import struct
from dataclasses import asdict
from typing import Any

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.devices import DEVICE, HOST, Decoded
from firmware_bridge.oatlink import messages, units, wire
from firmware_bridge.oatlink.can_fd import (
    FROM_CONTROLLER_ID,
    FROM_HOST_ID,
    MAX_NODE,
    from_can_fd,
)
from firmware_bridge.oatlink.cobs import Deframer
from firmware_bridge.oatlink.codes import LatchReason, RejectReason, Result, State
from firmware_bridge.oatlink.wire import HEADER_LENGTH, MessageType

_HEADER = struct.Struct("<BHHI")
_WORD = struct.Struct("<I")
_FIRST_FROM_CONTROLLER = MessageType.WELCOME
MOST_JOINTS = 7  # in one CAN-FD frame


class OatlinkDecoder:
    """``StreamDecoder``."""

    def __init__(self) -> None:
        self._deframers = {HOST: Deframer(wire.MAX_PAYLOAD), DEVICE: Deframer(wire.MAX_PAYLOAD)}
        self._unknown = 0

    @property
    def damaged(self) -> int:
        """Frames that COBS refuses, or of no known type."""
        return self._unknown + sum(d.damaged for d in self._deframers.values())

    def feed(self, data: bytes, sender: str | None) -> list[Decoded]:
        """The messages that these bytes complete."""
        found = [_decode(None, p) for p in self._deframers[sender or HOST].feed(data)]
        self._unknown += found.count(None)
        return [decoded for decoded in found if decoded is not None]


class OatlinkFdDecoder:
    """``FrameDecoder``."""

    def decode(self, frame: CanFrame) -> Decoded | None:
        """A frame to or from a node."""
        if frame.extended or not frame.fd:
            return None
        for first in (FROM_HOST_ID, FROM_CONTROLLER_ID):
            if first <= frame.can_id <= first + MAX_NODE:
                return _decode(frame.can_id - first, _payload(frame.data))
        return None


def _payload(data: bytes) -> bytes:
    """A frame's payload; with a tag or of a joint count that is not known, its padding stays."""
    for with_tag in (False, True):
        for joints in range(MOST_JOINTS, 0, -1):
            payload = from_can_fd(data, joints, with_tag)
            if payload is not None:
                return payload
    return data


def _decode(node: int | None, payload: bytes) -> Decoded | None:
    if len(payload) < HEADER_LENGTH + wire.CRC_LENGTH:
        return None
    first, session, sequence, time_us = _HEADER.unpack_from(payload)
    if first >> 4 != wire.VERSION or first & 0x0F not in MessageType.__members__.values():
        return None
    kind = MessageType(first & 0x0F)
    sender = DEVICE if kind >= _FIRST_FROM_CONTROLLER else HOST
    fields: dict[str, Any] = {"seq": sequence, "t_us": time_us, "session": f"{session:04x}"}
    fields |= _body(kind, payload[HEADER_LENGTH : -wire.CRC_LENGTH])
    return Decoded(sender, node, kind.name.lower(), fields, payload)


def _body(kind: MessageType, body: bytes) -> dict[str, Any]:
    """What stands in a body; {} for one of another length, as with a tag behind it."""
    if kind == MessageType.WELCOME and (welcome := messages.unpack_welcome(body)) is not None:
        return asdict(welcome) | {"state": _name(State, welcome.state)}
    if kind == MessageType.ACK and (ack := messages.unpack_ack(body)) is not None:
        request, result = _name(MessageType, ack.request), _name(Result, ack.result)
        return {"request": request, "result": result, "of": ack.sequence, "detail": ack.detail}
    if kind == MessageType.TELEMETRY:
        return _telemetry(body)
    if kind == MessageType.SETPOINTS and (found := messages.unpack_setpoints(body)) is not None:
        times_us, angles = found
        newest = units.position_rad(angles[-1]).round(4).tolist()
        return {"knots": len(times_us), "last_us": times_us[-1], "rad": newest}
    if kind in (MessageType.HELLO, MessageType.ARM, MessageType.TIME) and len(body) == _WORD.size:
        name = {MessageType.HELLO: "nonce", MessageType.ARM: "config"}.get(kind, "token")
        return {name: f"{_WORD.unpack(body)[0]:08x}"}
    return {"index": body[0]} if kind == MessageType.CONFIG and body else {}


def _telemetry(body: bytes) -> dict[str, Any]:
    telemetry = messages.unpack_telemetry(body)
    if telemetry is None:
        return {}
    fields: dict[str, Any] = {"state": _name(State, telemetry.state), "depth": telemetry.depth}
    if telemetry.latch_reason:
        fields["latched_by"] = _name(LatchReason, telemetry.latch_reason)
    if telemetry.reject_reason:
        fields["refused_for"] = _name(RejectReason, telemetry.reject_reason)
    counters = ("accepted", "underruns", "rejects", "clamps", "age_us")
    fields |= {name: getattr(telemetry, name) for name in counters}
    return fields | {"rad": units.position_rad(telemetry.position).round(4).tolist()}


def _name(names: Any, value: int) -> str:
    return str(names(value).name.lower()) if value in names.__members__.values() else str(value)
