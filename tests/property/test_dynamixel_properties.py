"""Any packet comes back, whatever else is on the line and however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.dynamixel import codec
from firmware_bridge.dynamixel.codec import Packet, Status
from firmware_bridge.dynamixel.parser import MAX_LENGTH, PacketParser
from firmware_bridge.dynamixel.units import RAD_PER_TICK, JointUnits

SPICY = st.sampled_from(
    [b"\xff", b"\xfd", b"\x00", b"\xff\xff\xfd", codec.HEADER, b"\xfe", b"\x55"]
)
NOISE = st.lists(st.one_of(SPICY, st.binary(max_size=6)), max_size=24).map(b"".join)
IDS = st.integers(0, codec.MAX_ID)
INSTRUCTIONS = st.sampled_from(list(codec.Instruction))
PACKETS = st.builds(Packet, IDS, INSTRUCTIONS, NOISE)


def encoded(packet: Packet) -> bytes:
    return codec.encode(*packet)


def fed_in_pieces(parser: PacketParser, data: bytes, cuts: list[int]) -> list[Packet]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    found: list[Packet] = []
    for start, end in pairwise(edges):
        found += parser.feed(data[start:end])
    return found


@given(st.lists(PACKETS, max_size=5), st.lists(st.integers(0, 10_000), max_size=12))
def test_packets_survive_stuffing_and_any_cutting(packets: list[Packet], cuts: list[int]) -> None:
    data = b"".join(map(encoded, packets))
    parser = PacketParser()
    assert fed_in_pieces(parser, data, cuts) == packets
    assert parser.dropped_bytes == 0 and parser.crc_errors == 0


@given(NOISE)
def test_a_stuffed_body_never_holds_a_header(body: bytes) -> None:
    assert codec.HEADER not in codec.stuff(body)
    assert codec.unstuff(codec.stuff(body)) == body


@given(st.binary(max_size=400), st.lists(st.integers(0, 10_000), max_size=8))
def test_the_parser_takes_any_bytes(data: bytes, cuts: list[int]) -> None:
    parser = PacketParser()
    fed_in_pieces(parser, data, cuts)
    parser.reset()
    assert parser.feed(codec.status(3)) == [Packet(3, 0x55, b"\0")]


@settings(max_examples=60)
@given(NOISE, PACKETS)
def test_the_parser_finds_its_way_back_after_any_noise(noise: bytes, packet: Packet) -> None:
    parser = PacketParser()
    parser.feed(noise)
    wire = encoded(packet)
    repeats = (MAX_LENGTH + codec.BODY_OFFSET) // len(wire) + 2
    found = parser.feed(wire * repeats)
    assert found and found[-1] == packet


@given(PACKETS, st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_never_passes_as_the_packet(packet: Packet, at: int, flip: int) -> None:
    wire = bytearray(encoded(packet))
    wire[at % len(wire)] ^= flip
    assert packet not in PacketParser().feed(bytes(wire))


@given(
    st.integers(0, 12).flatmap(
        lambda n: st.lists(
            st.builds(Status, IDS, st.integers(0, 255), st.binary(min_size=n, max_size=n)),
            min_size=1,
            max_size=8,
        )
    ),
    st.lists(st.integers(0, 10_000), max_size=6),
)
def test_a_common_answer_survives_any_cutting(answers: list[Status], cuts: list[int]) -> None:
    whole = codec.fast_sync_status(answers)
    (packet,) = fed_in_pieces(PacketParser(), whole, cuts)
    assert codec.split_fast_sync(packet, len(answers[0].data)) == answers


@given(
    st.floats(-np.pi, np.pi),
    st.sampled_from([1, -1]),
    st.floats(-np.pi, np.pi),
)
def test_an_angle_comes_back_within_half_a_tick(angle: float, direction: int, zero: float) -> None:
    units = JointUnits([direction], [zero])
    back = units.position_rad(units.position_ticks(np.array([angle])))
    assert abs(back[0] - angle) <= RAD_PER_TICK / 2 + 1e-12
