"""Packets against the vectors that the protocol 2.0 manual prints."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.dynamixel import codec
from firmware_bridge.dynamixel.codec import Packet, Status
from firmware_bridge.dynamixel.cycle import GoalFrame, StateCollector, StateQuestion
from firmware_bridge.dynamixel.parser import PacketParser
from firmware_bridge.dynamixel.units import JointUnits

GOAL, PRESENT = 116, 132


def wire(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize(
    ("built", "printed"),
    [
        (codec.ping(1), "FF FF FD 00 01 03 00 01 19 4E"),
        (codec.ping(codec.BROADCAST_ID), "FF FF FD 00 FE 03 00 01 31 42"),
        (codec.read(1, PRESENT, 4), "FF FF FD 00 01 07 00 02 84 00 04 00 1D 15"),
        (
            codec.write(1, GOAL, (512).to_bytes(4, "little")),
            "FF FF FD 00 01 09 00 03 74 00 00 02 00 00 CA 89",
        ),
        (codec.reboot(1), "FF FF FD 00 01 03 00 08 2F 4E"),
        (
            codec.sync_read(PRESENT, 4, [1, 2]),
            "FF FF FD 00 FE 09 00 82 84 00 04 00 01 02 CE FA",
        ),
        (
            codec.sync_write(GOAL, 4, {1: b"\x96\0\0\0", 2: b"\xaa\0\0\0"}),
            "FF FF FD 00 FE 11 00 83 74 00 04 00 01 96 00 00 00 02 AA 00 00 00 82 87",
        ),
        (codec.status(1, 0, b"\x06\x04\x26"), "FF FF FD 00 01 07 00 55 00 06 04 26 65 5D"),
        (codec.status(1), "FF FF FD 00 01 04 00 55 00 A1 0C"),
        (codec.status(1, 0, b"\xa6\0\0\0"), "FF FF FD 00 01 08 00 55 00 A6 00 00 00 8C C0"),
    ],
)
def test_a_packet_has_the_bytes_that_the_manual_prints(built: bytes, printed: str) -> None:
    assert built == wire(printed)


def test_a_header_inside_the_data_is_stuffed_and_comes_back_whole() -> None:
    data = wire("01 FF FF FD 00 FF FF FD FD 02")
    packet = codec.status(7, 0, data)
    assert wire("01 FF FF FD FD 00 FF FF FD FD FD 02") in packet
    assert PacketParser().feed(packet) == [Packet(7, 0x55, b"\0" + data)]


def test_a_common_answer_is_cut_into_each_servos_own() -> None:
    answers = [Status(4, 0, b"\x01\x02"), Status(9, 0x80, b"\xff\xff")]
    (packet,) = PacketParser().feed(codec.fast_sync_status(answers))
    assert codec.split_fast_sync(packet, 2) == answers


def test_a_common_answer_whose_data_looks_like_a_header_is_not_unstuffed() -> None:
    answers = [Status(1, 0, wire("FF FF FD 00 01")), Status(2, 0, wire("FF FF FD FD 02"))]
    whole = codec.fast_sync_status(answers)
    parser = PacketParser()
    packets = parser.feed(whole[:14]) + parser.feed(whole[14:])
    assert [codec.split_fast_sync(packet, 5) for packet in packets] == [answers]


def test_a_common_answer_of_another_size_is_no_answer() -> None:
    (packet,) = PacketParser().feed(codec.fast_sync_status([Status(1, 0, b"\x01\x02")]))
    assert codec.split_fast_sync(packet, 3) == []


def test_a_packet_behind_a_corrupt_one_is_found() -> None:
    broken = bytearray(codec.status(1, 0, b"abc"))
    broken[9] ^= 0x40
    parser = PacketParser()
    good = codec.status(2, 0, b"def")
    assert parser.feed(bytes(broken) + good) == [Packet(2, 0x55, b"\0def")]
    assert parser.crc_errors == 1


def test_a_packet_behind_one_that_was_cut_off_is_found_at_once() -> None:
    cut = codec.status(1, 0, b"abcdefgh")[:-5]
    assert PacketParser().feed(cut + codec.status(2)) == [Packet(2, 0x55, b"\0")]


@pytest.mark.parametrize("length", [0, 1, 2, 2049, 65535])
def test_an_impossible_length_is_garbage(length: int) -> None:
    garbage = codec.HEADER + b"\x01" + length.to_bytes(2, "little")
    assert PacketParser().feed(garbage + codec.status(2)) == [Packet(2, 0x55, b"\0")]


def test_a_goal_that_looks_like_a_header_is_stuffed_in_the_cached_frame() -> None:
    ids = (1, 2, 3)
    frame = GoalFrame(ids)
    ticks = np.array([100, 0x00FDFFFF, -1], dtype=np.int32)
    plain = codec.sync_write(
        GOAL,
        4,
        {i: int(t).to_bytes(4, "little", signed=True) for i, t in zip(ids, ticks, strict=True)},
    )
    assert frame.encode(ticks) == plain
    assert wire("FF FF FD FD") in plain


def test_a_cached_frame_carries_only_the_newest_goals() -> None:
    frame = GoalFrame((1, 2))
    frame.encode(np.array([7, 8], dtype=np.int32))
    newest = frame.encode(np.array([2048, 1000], dtype=np.int32))
    assert newest == codec.sync_write(GOAL, 4, {1: b"\0\x08\0\0", 2: b"\xe8\x03\0\0"})


@pytest.mark.parametrize("fast", [True, False])
def test_the_state_question_knows_how_long_its_answer_is(fast: bool) -> None:
    ids = (1, 2, 4)
    data = bytes(range(10))
    answers = [Status(i, 0, data) for i in ids]
    whole = (
        codec.fast_sync_status(answers) if fast else b"".join(codec.status(i, 0, data) for i in ids)
    )
    question = StateQuestion(ids, fast)
    assert question.answer_length == len(whole)
    collector = StateCollector(question)
    assert not collector.feed(whole[:-1])
    assert collector.feed(whole[-1:])
    assert collector.missing() == []


def test_an_answer_of_the_wrong_length_counts_as_missing() -> None:
    collector = StateCollector(StateQuestion((1, 2), fast=False))
    assert collector.feed(codec.status(1, 0, bytes(9)) + codec.status(2, 0, bytes(10)))
    assert collector.missing() == [1]


def test_a_quarter_turn_is_1024_ticks_along_the_joint() -> None:
    units = JointUnits([1, -1, 1], [0.0, 0.0, np.pi / 2])
    quarter = np.full(3, np.pi / 2)
    assert units.position_ticks(quarter).tolist() == [3072, 1024, 2048]
    np.testing.assert_allclose(units.position_rad([3072, 1024, 2048]), quarter)
    np.testing.assert_allclose(
        units.velocity_rad_s([1, 1, -1]), [0.02398, -0.02398, -0.02398], 1e-3
    )
    np.testing.assert_allclose(units.current_ma([100, 100, -1]), [269.0, -269.0, -2.69])


def test_a_far_angle_saturates_and_never_wraps_round() -> None:
    ticks = JointUnits([1, 1], [0.0, 0.0]).position_ticks(np.array([1e12, -1e12]))
    assert ticks.tolist() == [2**31 - 1, -(2**31 - 1)]
