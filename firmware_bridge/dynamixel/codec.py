"""Dynamixel Protocol 2.0 as pure functions between bytes and messages (e-manual, Protocol 2.0).

    FF FF FD 00 | id | length (2) | instruction | parameters … | CRC (2)

``length`` counts from the instruction to the end of the CRC. All numbers are little-endian. Inside
the body a sent ``FF FF FD`` is followed by a stuffed ``FD``. The CRC is CRC-16/UMTS (polynomial
0x8005, start 0, not reflected) over everything before it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from fastcrc.crc16 import umts as crc16_umts

HEADER = b"\xff\xff\xfd\x00"
STUFF_MARK = b"\xff\xff\xfd"
BROADCAST_ID = 0xFE
MAX_ID = 252
BODY_OFFSET = 7  # where the instruction stands
CRC_LENGTH = 2
STATUS_OVERHEAD = 11  # bytes of a status packet besides its data
FAST_BLOCK_OVERHEAD = 4  # error, id and CRC of each servo in a fast sync read's answer


class Instruction(IntEnum):
    """Second-level meaning of a packet."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REBOOT = 0x08
    STATUS = 0x55
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_READ = 0x92
    BULK_WRITE = 0x93


class ErrorNumber(IntEnum):
    """Low 7 bits of a status packet's error field; bit 7 is ``ALERT_BIT``."""

    NONE = 0
    RESULT_FAIL = 1
    INSTRUCTION = 2
    CRC = 3
    DATA_RANGE = 4
    DATA_LENGTH = 5
    DATA_LIMIT = 6
    ACCESS = 7


ALERT_BIT = 0x80  # the servo's hardware error status is not zero


class Packet(NamedTuple):
    """One packet with a good CRC; ``parameters`` are without stuffing."""

    device_id: int
    instruction: int
    parameters: bytes


class Status(NamedTuple):
    """One servo's answer."""

    device_id: int
    error: int
    data: bytes


def stuff(body: bytes) -> bytes:
    """Insert the byte after each ``FF FF FD`` of a body (instruction and parameters)."""
    return body.replace(STUFF_MARK, STUFF_MARK + b"\xfd")


def unstuff(body: bytes) -> bytes:
    """Undo ``stuff``."""
    return body.replace(STUFF_MARK + b"\xfd", STUFF_MARK)


def with_crc(packet: bytes) -> bytes:
    """Append the CRC to everything that stands before it."""
    return packet + crc16_umts(packet).to_bytes(2, "little")


def encode(device_id: int, instruction: int, parameters: bytes = b"") -> bytes:
    """Return the wire bytes of one packet."""
    body = stuff(bytes((instruction,)) + parameters)
    return with_crc(HEADER + struct.pack("<BH", device_id, len(body) + CRC_LENGTH) + body)


def ping(device_id: int) -> bytes:
    """Ask one servo, or all with ``BROADCAST_ID``, for model number and firmware version."""
    return encode(device_id, Instruction.PING)


def read(device_id: int, address: int, length: int) -> bytes:
    """Ask one servo for ``length`` bytes of its control table."""
    return encode(device_id, Instruction.READ, struct.pack("<HH", address, length))


def write(device_id: int, address: int, data: bytes) -> bytes:
    """Write bytes into one servo's control table."""
    return encode(device_id, Instruction.WRITE, struct.pack("<H", address) + data)


def reboot(device_id: int) -> bytes:
    """Restart one servo; its torque goes off."""
    return encode(device_id, Instruction.REBOOT)


def sync_read(address: int, length: int, ids: Iterable[int]) -> bytes:
    """Ask several servos for the same registers; each answers by itself, in this order."""
    parameters = struct.pack("<HH", address, length) + bytes(ids)
    return encode(BROADCAST_ID, Instruction.SYNC_READ, parameters)


def fast_sync_read(address: int, length: int, ids: Iterable[int]) -> bytes:
    """Like ``sync_read``, but all servos answer inside one common packet."""
    parameters = struct.pack("<HH", address, length) + bytes(ids)
    return encode(BROADCAST_ID, Instruction.FAST_SYNC_READ, parameters)


def sync_write(address: int, length: int, data_by_id: Mapping[int, bytes]) -> bytes:
    """Write ``length`` bytes into each of several servos; nobody answers."""
    blocks = b"".join(bytes((device_id,)) + data for device_id, data in data_by_id.items())
    parameters = struct.pack("<HH", address, length) + blocks
    return encode(BROADCAST_ID, Instruction.SYNC_WRITE, parameters)


def status(device_id: int, error: int = 0, data: bytes = b"") -> bytes:
    """Return one servo's answer."""
    return encode(device_id, Instruction.STATUS, bytes((error,)) + data)


def fast_sync_status(answers: Sequence[Status]) -> bytes:
    """Return the common answer to a fast sync read.

    ``55 | error id data CRC | error id data CRC | …``: each CRC covers all that went before,
    earlier CRCs included, so the last one is the packet's own. This packet is not stuffed.
    """
    length = 1 + sum(FAST_BLOCK_OVERHEAD + len(answer.data) for answer in answers)
    packet = HEADER + struct.pack("<BHB", BROADCAST_ID, length, Instruction.STATUS)
    for answer in answers:
        packet = with_crc(packet + bytes((answer.error, answer.device_id)) + answer.data)
    return packet


def as_status(packet: Packet) -> Status | None:
    """Return the answer that a packet carries, or None when it is no status of one servo."""
    if packet.instruction != Instruction.STATUS or not packet.parameters:
        return None
    return Status(packet.device_id, packet.parameters[0], packet.parameters[1:])


def split_fast_sync(packet: Packet, length: int) -> list[Status]:
    """Return each servo's answer out of the common packet; [] if it has another size."""
    block = length + FAST_BLOCK_OVERHEAD
    parameters = packet.parameters
    if packet.instruction != Instruction.STATUS or (len(parameters) + CRC_LENGTH) % block:
        return []
    return [
        Status(parameters[at + 1], parameters[at], parameters[at + 2 : at + 2 + length])
        for at in range(0, len(parameters), block)
    ]
