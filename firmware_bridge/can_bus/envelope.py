"""What a client and the broker of a simulated bus say to each other, one datagram each.

A datagram starts with its ``Kind``. Frames are packed, set-up is JSON. Times are monotonic
nanoseconds, which all processes of a machine share: a sender states when its frame was ready, so
the time that a message takes between processes is not time on the bus.
"""

from __future__ import annotations

import json
import struct
from enum import IntEnum
from typing import Any

from firmware_bridge.can_bus.frame import CanFrame

MAX_DATAGRAM = 4096
VERSION = 1

_FRAME = struct.Struct("<BBIq")
_NEWS = struct.Struct("<BBHHq")
_EXTENDED, _REMOTE, _FD, _SWITCH_RATE = 1, 2, 4, 8


class Kind(IntEnum):
    """First byte of a datagram."""

    HELLO = 1  # client: JSON, see ``SetUp``
    WELCOME = 2  # broker: JSON {"node": number} or {"error": text}
    FRAME = 3  # client: send this; broker: this was received
    NEWS = 4  # broker: see ``EventKind``
    PURGE = 5  # client: throw my queue away
    RESTART = 6  # client: bring me back from bus-off
    FAULT = 7  # client: JSON, see ``Faults``
    FAULT_TAKEN = 8  # broker: JSON {} or {"error": text}


def encode_frame(frame: CanFrame) -> bytes:
    """A frame and its time."""
    flags = (
        _EXTENDED * frame.extended
        | _REMOTE * frame.remote
        | _FD * frame.fd
        | _SWITCH_RATE * frame.switch_rate
    )
    return _FRAME.pack(Kind.FRAME, flags, frame.can_id, frame.stamp_ns) + frame.data


def decode_frame(datagram: bytes) -> CanFrame:
    """The inverse; raises ``struct.error`` for a datagram that is too short."""
    _, flags, can_id, stamp_ns = _FRAME.unpack_from(datagram)
    return CanFrame(
        can_id,
        datagram[_FRAME.size :],
        bool(flags & _EXTENDED),
        bool(flags & _REMOTE),
        bool(flags & _FD),
        bool(flags & _SWITCH_RATE),
        stamp_ns,
    )


def encode_news(code: int, transmit_errors: int, receive_errors: int, stamp_ns: int) -> bytes:
    """An event without a frame, with both error counters after it."""
    return _NEWS.pack(Kind.NEWS, code, transmit_errors, receive_errors, stamp_ns)


def decode_news(datagram: bytes) -> tuple[int, int, int, int]:
    """The inverse: (code, transmit errors, receive errors, stamp_ns)."""
    _, code, transmit_errors, receive_errors, stamp_ns = _NEWS.unpack(datagram)
    return code, transmit_errors, receive_errors, stamp_ns


def encode_json(kind: Kind, content: dict[str, Any]) -> bytes:
    """Set-up and its answers."""
    return bytes((kind,)) + json.dumps(content).encode()


def decode_json(datagram: bytes) -> dict[str, Any]:
    """The inverse; raises ``ValueError`` for anything but a JSON object."""
    content = json.loads(datagram[1:])
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    return content
