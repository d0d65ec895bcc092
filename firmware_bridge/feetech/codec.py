"""Feetech packets (SMS/STS protocol manual): ``FF FF ID LEN INST params ~sum``.

The checksum is 8 bits, so one disturbed packet in 256 passes it: readings want a second look
(``plausibility``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

HEADER = b"\xff\xff"
BROADCAST_ID = 0xFE
MAX_ID = 0xFD
OVERHEAD = 6  # header, id, length, instruction or error, checksum
MAX_LENGTH = 250


class Instruction(IntEnum):
    """Instruction numbers by the manual's names."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REBOOT = 0x08
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83


class Packet(NamedTuple):
    """A whole packet; ``code`` is its instruction or, in an answer, the status bits."""

    device_id: int
    code: int
    parameters: bytes


def encode(device_id: int, code: int, parameters: bytes = b"") -> bytes:
    """Build a packet, question or answer."""
    body = bytes((device_id, len(parameters) + 2, code)) + parameters
    return HEADER + body + bytes((~sum(body) & 0xFF,))


def ping(device_id: int) -> bytes:
    """Ask whether a servo is there."""
    return encode(device_id, Instruction.PING)


def read(device_id: int, address: int, length: int) -> bytes:
    """Ask for ``length`` bytes at ``address``."""
    return encode(device_id, Instruction.READ, bytes((address, length)))


def write(device_id: int, address: int, data: bytes) -> bytes:
    """Write bytes at ``address``."""
    return encode(device_id, Instruction.WRITE, bytes((address,)) + data)


def sync_read(address: int, length: int, ids: Sequence[int]) -> bytes:
    """Ask several servos for the same bytes; they answer one after another in this order."""
    return encode(BROADCAST_ID, Instruction.SYNC_READ, bytes((address, length, *ids)))


def sync_write(address: int, length: int, data_by_id: Mapping[int, bytes]) -> bytes:
    """Write ``length`` bytes at ``address`` of several servos; nobody answers."""
    blocks = b"".join(bytes((i,)) + data for i, data in data_by_id.items())
    return encode(BROADCAST_ID, Instruction.SYNC_WRITE, bytes((address, length)) + blocks)


class PacketParser:
    """Cuts a byte stream into packets; resynchronises after garbage, never raises."""

    def __init__(self) -> None:
        self.checksum_errors = 0
        self._buffer = b""

    def reset(self) -> None:
        """Forget a packet begun."""
        self._buffer = b""

    def feed(self, data: bytes) -> list[Packet]:
        """Take bytes in; returns the packets that they completed."""
        buffer = self._buffer + data if self._buffer else data
        packets: list[Packet] = []
        at = 0
        while True:
            at = buffer.find(HEADER, at)
            if at < 0:
                self._buffer = buffer[-1:] if buffer.endswith(b"\xff") else b""
                return packets
            if len(buffer) < at + 4:
                break
            length = buffer[at + 3]
            if buffer[at + 2] == 0xFF or not 2 <= length <= MAX_LENGTH:
                at += 1
                continue
            end = at + 4 + length
            if len(buffer) < end:
                break
            if ~sum(buffer[at + 2 : end - 1]) & 0xFF != buffer[end - 1]:
                self.checksum_errors += 1
                at += 1
                continue
            packets.append(Packet(buffer[at + 2], buffer[at + 4], buffer[at + 5 : end - 1]))
            at = end
        self._buffer = buffer[at:]
        return packets
