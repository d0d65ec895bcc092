"""One CAN data or remote frame, classic or FD (ISO 11898-1)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import repeat
from typing import NamedTuple

MAX_STANDARD_ID = 0x7FF
MAX_EXTENDED_ID = 0x1FFF_FFFF
CLASSIC_MAX_LENGTH = 8
FD_LENGTHS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)


class CanFrame(NamedTuple):
    """What travels on the bus; ``stamp_ns`` is the monotonic time at which it had been received.

    ``remote`` asks for the data of an id (classic only). ``switch_rate`` sends the data phase of an
    FD frame at the data bit rate.
    """

    can_id: int
    data: bytes = b""
    extended: bool = False
    remote: bool = False
    fd: bool = False
    switch_rate: bool = False
    stamp_ns: int = 0


_from_fields = partial(tuple.__new__, CanFrame)
_NO, _YES = repeat(False), repeat(True)
_UNSTAMPED = repeat(0)


def standard_frames(ids: Iterable[int], payloads: Iterable[bytes]) -> list[CanFrame]:
    """Classic data frames with standard ids: a cycle's frames at once, quicker than one by one."""
    fields = zip(ids, payloads, _NO, _NO, _NO, _NO, _UNSTAMPED, strict=False)  # repeats never end
    return list(map(_from_fields, fields))


def extended_fd_frames(ids: Iterable[int], payloads: Iterable[bytes]) -> list[CanFrame]:
    """The same with extended ids and CAN FD at both bit rates; payloads of lengths that it has."""
    fields = zip(ids, payloads, _YES, _NO, _YES, _YES, _UNSTAMPED, strict=False)
    return list(map(_from_fields, fields))


def frame_fault(frame: CanFrame) -> str | None:
    """Say why a frame cannot exist on any bus, or None for a good one."""
    limit = MAX_EXTENDED_ID if frame.extended else MAX_STANDARD_ID
    if not 0 <= frame.can_id <= limit:
        return f"id {frame.can_id:#x} is beyond {limit:#x}"
    if frame.fd:
        if frame.remote:
            return "CAN FD has no remote frames"
        if len(frame.data) not in FD_LENGTHS:
            return f"{len(frame.data)} bytes is no CAN FD length"
        return None
    if len(frame.data) > CLASSIC_MAX_LENGTH:
        return f"{len(frame.data)} bytes do not fit a classic frame"
    if frame.switch_rate:
        return "only CAN FD switches the bit rate"
    return None


def fd_padded(data: bytes, fill: int = 0) -> bytes:
    """``data`` lengthened with ``fill`` to the next length that CAN FD knows."""
    length = next(length for length in FD_LENGTHS if length >= len(data))
    return data + bytes((fill,)) * (length - len(data))


def arbitration_key(frame: CanFrame) -> int:
    """Order in which frames win the bus: the smaller goes first, as dominant bits do.

    The bits as they are sent: 11 id bits, RTR (standard) or SRR (extended, recessive), IDE, then
    the lower 18 id bits and RTR of an extended frame.
    """
    if frame.extended:
        base, rest = frame.can_id >> 18, frame.can_id & 0x3FFFF
        return ((base << 2 | 0b11) << 19) | rest << 1 | frame.remote
    return ((frame.can_id << 2) | frame.remote << 1) << 19
