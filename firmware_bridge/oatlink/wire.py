"""oatlink payloads: header, tag and CRC around a body (docs/oatlink.md, sections 2, 3 and 8)."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from fastcrc.crc32 import autosar as crc32_autosar

from firmware_bridge.oatlink import cobs

VERSION = 1
HEADER_LENGTH = 9
CRC_LENGTH = 4
TAG_LENGTH = 8
KEY_LENGTH = 32
MAX_BODY = 120
MAX_PAYLOAD = HEADER_LENGTH + MAX_BODY + TAG_LENGTH + CRC_LENGTH
NO_SESSION = 0
WORD = 1 << 32

_HEADER = struct.Struct("<BHHI")
_SESSION = struct.Struct("<I")
_CRC = struct.Struct("<I")
_TAG_CONTEXT = struct.Struct("<II")


class MessageType(IntEnum):
    """Low nibble of a payload's first byte."""

    HELLO = 1
    CONFIG = 2
    ARM = 3
    DISARM = 4
    SETPOINTS = 5
    TIME = 6
    ESTOP = 7
    WELCOME = 9
    ACK = 10
    TELEMETRY = 13
    TIME_REPLY = 14


SESSIONLESS = (MessageType.HELLO, MessageType.WELCOME)


class Header(NamedTuple):
    """What a payload says about itself; ``time_us`` has 64 bits, restored by the receiver."""

    message_type: MessageType
    sequence: int
    time_us: int


class Frame(NamedTuple):
    """A payload that passed CRC and, if the link has a key, its tag."""

    header: Header
    body: bytes


@dataclass(frozen=True, slots=True)
class Sealer:
    """Puts payloads together and takes them apart for one link; ``key`` of 32 bytes, or none."""

    key: bytes = b""

    def __post_init__(self) -> None:
        if len(self.key) not in (0, KEY_LENGTH):
            raise ValueError(f"key: {len(self.key)} bytes are not allowed (allowed: {KEY_LENGTH})")

    @property
    def tag_length(self) -> int:
        """Bytes of the tag in each payload."""
        return TAG_LENGTH if self.key else 0

    def seal(self, header: Header, session: int, body: bytes = b"") -> bytes:
        """Return the payload of one message; ``session`` is ignored in HELLO and WELCOME."""
        session = NO_SESSION if header.message_type in SESSIONLESS else session
        payload = (
            _HEADER.pack(
                VERSION << 4 | header.message_type,
                session & 0xFFFF,
                header.sequence & 0xFFFF,
                header.time_us % WORD,
            )
            + body
        )
        payload += self._tag(session, header.time_us // WORD, payload)
        return payload + _CRC.pack(_crc(session, payload))

    def open(self, payload: bytes, session: int, now_us: int) -> Frame | None:
        """Return the message in a payload, or None when it is damaged, foreign or forged.

        ``now_us`` is the receiver's idea of the controller's time, 64 bits.
        """
        body_end = len(payload) - CRC_LENGTH - self.tag_length
        if body_end < HEADER_LENGTH or len(payload) > MAX_PAYLOAD:
            return None
        first, session_low, sequence, time_low = _HEADER.unpack_from(payload)
        message_type = _message_type(first)
        if message_type is None:
            return None
        session = NO_SESSION if message_type in SESSIONLESS else session
        if session_low != session & 0xFFFF:
            return None
        covered = payload[:-CRC_LENGTH]
        if _CRC.unpack(payload[-CRC_LENGTH:])[0] != _crc(session, covered):
            return None
        time_us = time_low if message_type == MessageType.HELLO else near(time_low, now_us)
        if message_type == MessageType.WELCOME:
            time_us = _welcome_time_us(payload[:body_end], time_low)
        if covered[body_end:] != self._tag(session, time_us // WORD, payload[:body_end]):
            return None
        return Frame(Header(message_type, sequence, time_us), payload[HEADER_LENGTH:body_end])

    def _tag(self, session: int, time_high: int, covered: bytes) -> bytes:
        if not self.key:
            return b""
        context = _TAG_CONTEXT.pack(session, time_high % WORD)
        digest = hashlib.blake2s(context + covered, key=self.key).digest()
        return digest[:TAG_LENGTH]


def near(time_low: int, now_us: int) -> int:
    """Return the 64-bit time nearest to ``now_us`` that has these low 32 bits; never below 0."""
    difference = (time_low - now_us + WORD // 2) % WORD - WORD // 2
    return now_us + difference if now_us + difference >= 0 else time_low


def session_hint(payload: bytes) -> int | None:
    """Low 16 bits of the session that a payload claims, believed by nobody; None if too short."""
    return _HEADER.unpack_from(payload)[1] if len(payload) >= HEADER_LENGTH else None


def frame_bytes(payload: bytes) -> bytes:
    """Return a payload as it stands on a serial line."""
    return cobs.encode(payload) + cobs.DELIMITER


def _crc(session: int, covered: bytes) -> int:
    return int(crc32_autosar(_SESSION.pack(session) + covered))


def _message_type(first: int) -> MessageType | None:
    if first >> 4 != VERSION or first & 0x0F not in MessageType.__members__.values():
        return None
    return MessageType(first & 0x0F)


_WELCOME_TIME_HIGH = HEADER_LENGTH + 8  # offset in a payload


def _welcome_time_us(payload: bytes, time_low: int) -> int:
    """A WELCOME brings its own high word: the host knows no time yet."""
    high = int.from_bytes(payload[_WELCOME_TIME_HIGH : _WELCOME_TIME_HIGH + 4], "little")
    return high * WORD + time_low
