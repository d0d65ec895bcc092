"""How long a frame occupies the bus, to the bit: fields, CRC and stuff bits (ISO 11898-1:2015).

Stuff bits depend on the bits themselves, so a classic frame's CRC-15 is computed. In CAN FD the CRC
field has fixed stuff bits, so its value does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from firmware_bridge.can_bus.frame import FD_LENGTHS, CanFrame

NS_PER_S = 1_000_000_000
INTERMISSION_BITS = 3
TAIL_BITS = 1 + 1 + 1 + 7  # CRC delimiter, ACK slot, ACK delimiter, end of frame
FD_NOMINAL_TAIL_BITS = TAIL_BITS - 1  # the CRC delimiter still belongs to the data phase
ERROR_FLAG_BITS = 6
ERROR_DELIMITER_BITS = 8
CRC15_POLYNOMIAL = 0x4599
STUFF_AFTER = 5
FD_SHORT_CRC = 4 + 17 + 6  # stuff count, CRC-17, fixed stuff bits (up to 16 bytes)
FD_LONG_CRC = 4 + 21 + 7
FD_SHORT_MAX_LENGTH = 16

StuffState = tuple[int, int]  # last bit, how many of it in a row
START: StuffState = (1, 0)


@dataclass(frozen=True, slots=True)
class BitRates:
    """Bit rates of a bus [bit/s]; ``data`` is that of the FD data phase."""

    nominal: int = 1_000_000
    data: int = 5_000_000

    def duration_ns(self, bits: FrameBits) -> int:
        """Time that bits take on the wire [ns]."""
        return round(bits.nominal * NS_PER_S / self.nominal + bits.data * NS_PER_S / self.data)


@dataclass(frozen=True, slots=True)
class FrameBits:
    """Bits at the nominal and at the data rate, from start of frame to end of frame."""

    nominal: int
    data: int = 0


@lru_cache(maxsize=4096)
def frame_bits(frame: CanFrame) -> FrameBits:
    """Exact bits of a frame (its ``stamp_ns`` should be 0, it is part of the key).

    The bit in which the rate switches counts as nominal (BRS) or data (CRC delimiter) as a whole.
    """
    if frame.fd:
        return _fd_bits(frame)
    value, count = _classic_header(frame)
    for byte in frame.data if not frame.remote else b"":
        value, count = value << 8 | byte, count + 8
    value, count = value << 15 | crc15(value, count), count + 15
    stuffed, _ = _stuff_bits(value, count, START)
    return FrameBits(count + stuffed + TAIL_BITS)


def _classic_header(frame: CanFrame) -> tuple[int, int]:
    """Start of frame to data length code, as (bits, how many)."""
    length = len(frame.data)
    if frame.extended:  # SOF, base id, SRR, IDE, extension, RTR, FDF, r0, DLC
        base, rest = frame.can_id >> 18, frame.can_id & 0x3FFFF
        identifier = ((base << 2 | 0b11) << 18 | rest) << 1 | frame.remote
        return identifier << 6 | length, 39
    return (frame.can_id << 1 | frame.remote) << 6 | length, 19  # SOF, id, RTR, IDE, FDF, DLC


def _fd_bits(frame: CanFrame) -> FrameBits:
    if frame.extended:  # … extension, RRS, FDF, res, BRS
        base, rest = frame.can_id >> 18, frame.can_id & 0x3FFFF
        header, header_count = ((base << 2 | 0b11) << 18 | rest) << 4, 36
    else:  # SOF, id, RRS, IDE, FDF, res, BRS
        header, header_count = frame.can_id << 5, 17
    header |= 0b100 | frame.switch_rate
    header_stuffed, state = _stuff_bits(header, header_count, START)
    length = len(frame.data)
    value, count = FD_LENGTHS.index(length), 5  # ESI (active), DLC
    for byte in frame.data:
        value, count = value << 8 | byte, count + 8
    stuffed, (_, run) = _stuff_bits(value, count, state)
    if run == 1 and stuffed and _ends_stuffed(value, count, state):
        stuffed -= 1  # the CRC field's first fixed stuff bit takes its place
    crc = FD_SHORT_CRC if length <= FD_SHORT_MAX_LENGTH else FD_LONG_CRC
    data_bits = count + stuffed + crc + 1
    nominal = header_count + header_stuffed + FD_NOMINAL_TAIL_BITS
    return FrameBits(nominal, data_bits) if frame.switch_rate else FrameBits(nominal + data_bits)


def _ends_stuffed(value: int, count: int, state: StuffState) -> bool:
    """Tell whether the very last bit completed a run of five."""
    without, _ = _stuff_bits(value >> 1, count - 1, state)
    whole, _ = _stuff_bits(value, count, state)
    return whole > without


def crc15(value: int, count: int) -> int:
    """CRC-15/CAN over the lowest ``count`` bits of ``value``, most significant first."""
    data = value.to_bytes((count + 7) // 8, "big")  # leading zeros do not change a CRC from 0
    crc = 0
    for byte in data:
        crc = (crc << 8 ^ _CRC15[(crc >> 7 ^ byte) & 0xFF]) & 0x7FFF
    return crc


def _stuff_bits(value: int, count: int, state: StuffState) -> tuple[int, StuffState]:
    """Stuff bits that ``count`` bits need after ``state``, and the state after them."""
    head = count % 8
    stuffed, state = _stuff_slowly(value >> (count - head), head, state)
    for at in range(count - head - 8, -8, -8):
        more, state = _STUFF[state][value >> at & 0xFF]
        stuffed += more
    return stuffed, state


def _stuff_slowly(value: int, count: int, state: StuffState) -> tuple[int, StuffState]:
    last, run = state
    stuffed = 0
    for at in range(count - 1, -1, -1):
        bit = value >> at & 1
        last, run = bit, run + 1 if bit == last else 1
        if run == STUFF_AFTER:
            stuffed, last, run = stuffed + 1, 1 - bit, 1
    return stuffed, (last, run)


def _crc15_of_byte(byte: int) -> int:
    crc = byte << 7
    for _ in range(8):
        crc = crc << 1 ^ (CRC15_POLYNOMIAL if crc & 0x4000 else 0)
    return crc & 0x7FFF


_CRC15 = tuple(_crc15_of_byte(byte) for byte in range(256))
_STUFF = {
    (last, run): tuple(_stuff_slowly(byte, 8, (last, run)) for byte in range(256))
    for last in (0, 1)
    for run in range(STUFF_AFTER)
}
