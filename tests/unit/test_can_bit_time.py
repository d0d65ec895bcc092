"""Bit counts against a bit-by-bit construction of the frame, and against published figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.can_bus.bit_time import BitRates, FrameBits, crc15, frame_bits
from firmware_bridge.can_bus.frame import FD_LENGTHS, CanFrame, arbitration_key, frame_fault

SPIKY = st.lists(st.sampled_from([0x00, 0xFF, 0x0F, 0xF0, 0x1F, 0x83, 0x55, 0x7C]), max_size=8)
CLASSIC = st.builds(
    lambda wide, can_id, data, remote: CanFrame(
        can_id if wide else can_id & 0x7FF, bytes(data), wide, remote
    ),
    st.booleans(),
    st.one_of(st.integers(0, 0x1FFF_FFFF), st.sampled_from([0, 0x7FF, 0x1FFF_FFFF])),
    SPIKY,
    st.booleans(),
)


def bits_of(value: int, count: int) -> str:
    return f"{value:0{count}b}"


def stuffed(bits: str) -> str:
    """Bits with a complement after each five alike, one bit at a time."""
    out, run = "", ""
    for bit in bits:
        run = run + bit if run and run[-1] == bit else bit
        out += bit
        if len(run) == 5:
            run = "1" if bit == "0" else "0"
            out += run
    return out


def slow_crc15(bits: str) -> int:
    """The loop of the CAN specification (2.0, section 3.1.1)."""
    register = 0
    for bit in bits:
        next_bit = int(bit) ^ register >> 14
        register = register << 1 & 0x7FFF
        if next_bit:
            register ^= 0x4599
    return register


def classic_bits(frame: CanFrame) -> str:
    rtr = "1" if frame.remote else "0"
    if frame.extended:
        whole = bits_of(frame.can_id, 29)
        head = "0" + whole[:11] + "11" + whole[11:] + rtr + "00"
    else:
        head = "0" + bits_of(frame.can_id, 11) + rtr + "00"
    head += bits_of(len(frame.data), 4)
    if not frame.remote:
        head += "".join(bits_of(byte, 8) for byte in frame.data)
    return head + bits_of(slow_crc15(head), 15)


@given(CLASSIC)
def test_a_classic_frame_is_as_long_as_its_stuffed_bits(frame: CanFrame) -> None:
    expected = len(stuffed(classic_bits(frame))) + 10  # CRC and ACK delimiter, ACK, end of frame
    assert frame_bits(frame) == FrameBits(expected)


@given(
    st.integers(0, 0x7FF),
    st.sampled_from(FD_LENGTHS).flatmap(
        lambda n: st.lists(st.sampled_from([0, 255, 0x0F, 0x1F, 0xA5]), min_size=n, max_size=n)
    ),
    st.booleans(),
)
def test_an_fd_frame_stuffs_up_to_its_data_and_then_at_fixed_places(
    can_id: int, data: list[int], switch: bool
) -> None:
    head = "0" + bits_of(can_id, 11) + "0010" + ("1" if switch else "0")
    rest = "0" + bits_of(FD_LENGTHS.index(len(data)), 4) + "".join(bits_of(b, 8) for b in data)
    whole = stuffed(head + rest)
    before_last = stuffed((head + rest)[:-1])
    if len(whole) - len(before_last) == 2:
        whole = whole[:-1]  # the first fixed stuff bit follows instead
    nominal = len(stuffed(head))
    crc_bits = 27 if len(data) <= 16 else 32
    total = frame_bits(CanFrame(can_id, bytes(data), fd=True, switch_rate=switch))
    assert total.nominal + total.data == len(whole) + crc_bits + 1 + 9
    if switch:
        assert total.nominal == nominal + 9


def test_the_crc_is_the_catalogued_one() -> None:
    assert crc15(int.from_bytes(b"123456789", "big"), 72) == 0x059E


@pytest.mark.parametrize(("extended", "worst"), [(False, 132), (True, 157)])
def test_no_frame_of_eight_bytes_is_longer_than_the_known_worst_case(
    extended: bool, worst: int
) -> None:
    """Davis, Burns, Bril, Lukkien 2007: 135 and 160 bits, the 3 of the intermission included."""
    ids = range(0, 0x7FF, 37)
    longest = max(
        frame_bits(CanFrame(i << 18 if extended else i, bytes((byte,)) * 8, extended)).nominal
        for i in ids
        for byte in (0x00, 0x0F, 0x1E, 0x3C, 0x78, 0xF0, 0xE1, 0xC3, 0x87)
    )
    assert 110 < longest <= worst


def test_a_bit_takes_a_microsecond_at_one_megabit() -> None:
    assert BitRates(1_000_000, 5_000_000).duration_ns(FrameBits(10, 10)) == 12_000


def test_a_lower_id_goes_first_and_data_before_its_remote_frame() -> None:
    order = [
        CanFrame(0x100),
        CanFrame(0x100, remote=True),
        CanFrame(0x100 << 18, extended=True),
        CanFrame(0x100 << 18, extended=True, remote=True),
        CanFrame((0x100 << 18) + 1, extended=True),
        CanFrame(0x101),
    ]
    keys = [arbitration_key(frame) for frame in order]
    assert keys == sorted(keys) and len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("frame", "fault"),
    [
        (CanFrame(0x800), "beyond 0x7ff"),
        (CanFrame(1 << 29, extended=True), "beyond 0x1fffffff"),
        (CanFrame(1, bytes(9)), "do not fit"),
        (CanFrame(1, bytes(9), fd=True), "no CAN FD length"),
        (CanFrame(1, fd=True, remote=True), "no remote frames"),
        (CanFrame(1, switch_rate=True), "only CAN FD"),
    ],
)
def test_a_frame_that_no_bus_carries_is_named(frame: CanFrame, fault: str) -> None:
    assert fault in str(frame_fault(frame))
