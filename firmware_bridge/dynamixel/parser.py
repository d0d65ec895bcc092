"""Incremental packet parser that finds its way back after any garbage."""

from __future__ import annotations

from fastcrc.crc16 import umts as crc16_umts

from firmware_bridge.dynamixel.codec import (
    BODY_OFFSET,
    BROADCAST_ID,
    CRC_LENGTH,
    HEADER,
    STUFF_MARK,
    Instruction,
    Packet,
    unstuff,
)

MIN_LENGTH = 1 + CRC_LENGTH
MAX_LENGTH = 2048  # longer than any packet of a full chain; a larger length field is garbage


class PacketParser:
    """Turns a byte stream into packets with a good CRC; never raises, whatever the bytes.

    ``crc_errors`` and ``dropped_bytes`` count what was thrown away. After a broken packet the
    search goes on right behind its header, so a packet that a corrupt length had swallowed is still
    found.
    """

    def __init__(self) -> None:
        self.crc_errors = 0
        self.dropped_bytes = 0
        self._pending = b""

    def reset(self) -> None:
        """Forget an unfinished packet."""
        self.dropped_bytes += len(self._pending)
        self._pending = b""

    def feed(self, data: bytes) -> list[Packet]:
        """Take the next bytes of the stream and return the packets that they complete."""
        buffer = self._pending + data
        packets: list[Packet] = []
        at = 0
        while (start := self._find_header(buffer, at)) >= 0:
            packet, at = self._take(buffer, start)
            if packet is not None:
                packets.append(packet)
            elif at == start:
                break
        else:
            start = self._skip_garbage(buffer, at)
        self._pending = buffer[start:]
        return packets

    def _find_header(self, buffer: bytes, at: int) -> int:
        start = buffer.find(HEADER, at)
        if start > at:
            self.dropped_bytes += start - at
        return start

    def _skip_garbage(self, buffer: bytes, at: int) -> int:
        """Return where a header could still begin that the next bytes complete."""
        for keep in range(min(len(HEADER) - 1, len(buffer) - at), 0, -1):
            if buffer.endswith(HEADER[:keep]):
                break
        else:
            keep = 0
        self.dropped_bytes += len(buffer) - keep - at
        return len(buffer) - keep

    def _take(self, buffer: bytes, start: int) -> tuple[Packet | None, int]:
        """Return the packet at ``start`` and where to go on; going on at ``start`` means wait."""
        body = start + BODY_OFFSET
        if len(buffer) < body:
            return None, start
        length = buffer[body - 2] | buffer[body - 1] << 8
        if not MIN_LENGTH <= length <= MAX_LENGTH:
            return None, self._drop_header(start)
        end = body + length
        if len(buffer) < end:
            return None, self._wait_or_skip(buffer, start, end)
        crc_at = end - CRC_LENGTH
        if crc16_umts(buffer[start:crc_at]) != buffer[crc_at] | buffer[crc_at + 1] << 8:
            self.crc_errors += 1
            return None, self._drop_header(start)
        return _packet(buffer, start, crc_at), end

    def _drop_header(self, start: int) -> int:
        self.dropped_bytes += len(HEADER)
        return start + len(HEADER)

    def _wait_or_skip(self, buffer: bytes, start: int, end: int) -> int:
        """Wait for the rest, unless a header inside a stuffed body shows that it was cut off."""
        if _is_unstuffed(buffer, start):
            return start
        inner = buffer.find(HEADER, start + BODY_OFFSET, end - CRC_LENGTH)
        if inner < 0:
            return start
        self.dropped_bytes += inner - start
        return inner


def _is_unstuffed(buffer: bytes, start: int) -> bool:
    """Tell whether this is a fast sync read's answer, which servos send without stuffing."""
    body = start + BODY_OFFSET
    return buffer[start + 4] == BROADCAST_ID and buffer[body : body + 1] in (
        b"",
        bytes((Instruction.STATUS,)),
    )


def _packet(buffer: bytes, start: int, crc_at: int) -> Packet:
    body = start + BODY_OFFSET
    parameters = buffer[body + 1 : crc_at]
    if STUFF_MARK in parameters and not _is_unstuffed(buffer, start):
        parameters = unstuff(parameters)
    return Packet(buffer[start + 4], buffer[body], parameters)
