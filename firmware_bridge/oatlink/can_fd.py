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
MAX_LENGTH = LENGTHS[-1]
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


def check_node(node: int) -> None:
    """Raise ``ValueError`` for a node that has no identifiers."""
    if not 0 <= node <= MAX_NODE:
        raise ValueError(f"node: {node} is not allowed (allowed: 0 to {MAX_NODE})")


def check_room(joints: int, knots: int, with_tag: bool) -> None:
    """Raise ``ValueError`` unless every message of such a link fits one frame."""
    room = MAX_LENGTH - HEADER_LENGTH - CRC_LENGTH - (TAG_LENGTH if with_tag else 0)
    most_joints = (room - _telemetry_length(0)) // (_telemetry_length(1) - _telemetry_length(0))
    where = "with a key on CAN-FD" if with_tag else "on CAN-FD"
    if joints > most_joints:
        raise ValueError(f"joints: {joints} are not allowed (allowed {where}: {most_joints})")
    if _setpoints_length(knots, joints) > room:
        most = max(k for k in range(1, knots) if _setpoints_length(k, joints) <= room)
        raise ValueError(f"knots: {knots} are not allowed (allowed {where}: {most})")


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
    if body is None or len(data) > MAX_LENGTH:
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
        return _setpoints_length(count, first & 0x0F) if count else None
    if message_type == MessageType.TELEMETRY:
        return _telemetry_length(joints)
    return _BODY_LENGTHS.get(message_type)  # type: ignore[call-overload,no-any-return]


def _setpoints_length(knots: int, joints: int) -> int:
    return 5 + 2 * (knots - 1) + 2 * knots * joints


def _telemetry_length(joints: int) -> int:
    return 9 + 6 * joints
