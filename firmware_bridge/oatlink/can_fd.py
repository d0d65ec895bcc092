"""The same payload in one CAN-FD frame (docs/oatlink.md, section 3)."""

from __future__ import annotations

from firmware_bridge.oatlink.wire import (
    CRC_LENGTH,
    HEADER_LENGTH,
    TAG_LENGTH,
    MessageType,
)

LENGTHS = (8, 12, 16, 20, 24, 32, 48, 64)
MAX_NODE = 15
FROM_HOST_ID = 0x0A0
FROM_CONTROLLER_ID = 0x0B0
_CONFIG_COMMIT = 255
_BODY_LENGTHS = {
    MessageType.HELLO: 4,
    MessageType.ARM: 4,
    MessageType.DISARM: 0,
    MessageType.TIME: 4,
    MessageType.ESTOP: 0,
    MessageType.WELCOME: 26,
    MessageType.ACK: 5,
    MessageType.TIME_REPLY: 8,
}


def to_can_fd(payload: bytes) -> bytes:
    """Return a frame's data; raises ``ValueError`` for a payload that needs more than 64 bytes."""
    for length in LENGTHS:
        if len(payload) <= length:
            return payload.ljust(length, b"\0")
    raise ValueError(f"a payload of {len(payload)} bytes does not fit a CAN-FD frame")


def from_can_fd(data: bytes, joints: int, with_tag: bool) -> bytes | None:
    """Return the payload in a frame's data, or None if its length does not fit its content.

    ``joints``: the configuration's, for TELEMETRY.
    """
    body = _body_length(data, joints)
    if body is None:
        return None
    length = HEADER_LENGTH + body + (TAG_LENGTH if with_tag else 0) + CRC_LENGTH
    fits = length <= len(data) and to_can_fd(data[:length]) == data
    return data[:length] if fits else None


def _body_length(data: bytes, joints: int) -> int | None:
    if len(data) <= HEADER_LENGTH:
        return None
    message_type, first = data[0] & 0x0F, data[HEADER_LENGTH]
    if message_type == MessageType.CONFIG:
        return 21 if first == _CONFIG_COMMIT else 17
    if message_type == MessageType.SETPOINTS:
        count = first >> 4
        return 5 + 2 * (count - 1) + 2 * count * (first & 0x0F) if count else None
    if message_type == MessageType.TELEMETRY:
        return 9 + 6 * joints
    return _BODY_LENGTHS.get(message_type)  # type: ignore[call-overload,no-any-return]
