"""Feetech packets: against the maker's SDK, against any bytes, and readings that cannot be true."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scservo_sdk import COMM_SUCCESS, GroupSyncRead, GroupSyncWrite, PortHandler
from scservo_sdk.protocol_packet_handler import protocol_packet_handler

from firmware_bridge.feetech import codec
from firmware_bridge.feetech.codec import Instruction, Packet, PacketParser
from firmware_bridge.feetech.goal_frame import GoalFrame
from firmware_bridge.feetech.plausibility import MAX_SPEED_TICKS_S, Plausibility
from firmware_bridge.feetech.registers import Register, from_sign_magnitude, to_sign_magnitude
from firmware_bridge.feetech.whole_answer import WholeAnswer
from tests.contract.rigs import BAUD, FeetechRig

SDK = protocol_packet_handler()
TRIES = 20  # the SDK waits some milliseconds for an answer, less than a busy machine may take
MS = 1_000_000
PACKETS = st.builds(Packet, st.integers(0, 0xFE), st.integers(0, 0xFF), st.binary(max_size=40))


class Tape:
    """A port that only keeps what is written."""

    is_using = False

    def __init__(self) -> None:
        self.written = b""

    def clearPort(self) -> None:  # noqa: N802
        pass

    def writePort(self, packet: list[int]) -> int:  # noqa: N802
        self.written = bytes(packet)
        return len(packet)

    def setPacketTimeout(self, _: int) -> None:  # noqa: N802
        pass


def recorded(send: Callable[[Tape], object]) -> bytes:
    tape = Tape()
    send(tape)
    return tape.written


def test_our_bytes_are_the_makers() -> None:
    assert recorded(lambda t: SDK.readTx(t, 5, 56, 4)) == codec.read(5, 56, 4)
    data = [0x34, 0x12]
    assert recorded(lambda t: SDK.writeTxOnly(t, 5, 42, 2, data)) == codec.write(5, 42, bytes(data))
    assert recorded(lambda t: SDK.txPacket(t, [0, 0, 5, 2, 1, 0])) == codec.ping(5)
    ids = [1, 2, 7]
    assert recorded(lambda t: SDK.syncReadTx(t, 56, 4, ids, 3)) == codec.sync_read(56, 4, ids)
    blocks = [1, 0x34, 0x12, 2, 0x78, 0x56]
    assert recorded(lambda t: SDK.syncWriteTxOnly(t, 42, 2, blocks, 6)) == codec.sync_write(
        42, 2, {1: b"\x34\x12", 2: b"\x78\x56"}
    )


def test_the_makers_client_talks_to_the_emulated_chain() -> None:
    rig = FeetechRig()
    port = PortHandler(rig.path)
    try:
        assert port.setBaudRate(BAUD) or port.openPort()
        rig.servos[2].hold()
        read = GroupSyncRead(port, SDK, Register.PRESENT_POSITION, 4)
        for servo_id in rig.ids:
            read.addParam(servo_id)
        assert any(read.txRxPacket() == COMM_SUCCESS for _ in range(TRIES))
        assert [read.getData(i, Register.PRESENT_POSITION, 2) for i in rig.ids] == [2048] * 7
        write = GroupSyncWrite(port, SDK, Register.GOAL_POSITION, 2)
        for servo_id in rig.ids:
            write.addParam(servo_id, [0x00, 0x09])
        assert write.txPacket() == COMM_SUCCESS
        found = (SDK.read2ByteTxRx(port, 3, Register.GOAL_POSITION) for _ in range(TRIES))
        assert any(result == COMM_SUCCESS and value == 0x900 for value, result, _ in found)
        pings = (SDK.ping(port, 7) for _ in range(TRIES))
        assert any(r == COMM_SUCCESS and model == 777 for model, r, _ in pings)
    finally:
        port.closePort()
        rig.close()


@given(PACKETS, st.binary(max_size=30))
def test_a_packet_survives_the_wire_in_any_pieces(packet: Packet, cuts: bytes) -> None:
    wire = codec.encode(*packet)
    parser, found, at = PacketParser(), [], 0
    for cut in cuts:
        found += parser.feed(wire[at : at + cut % 7])
        at += cut % 7
    assert found + parser.feed(wire[at:]) == [packet]


@given(st.lists(st.one_of(st.binary(max_size=20), PACKETS.map(lambda p: codec.encode(*p)))))
def test_no_bytes_upset_the_parser_and_it_never_hoards(pieces: list[bytes]) -> None:
    parser = PacketParser()
    for piece in pieces:
        for packet in parser.feed(piece):
            assert codec.encode(*packet) in b"".join(pieces)
    assert len(parser._buffer) < 4 + codec.MAX_LENGTH


@given(st.binary(max_size=30).filter(lambda b: b"\xff" not in b), PACKETS)
def test_a_packet_behind_garbage_is_found(garbage: bytes, packet: Packet) -> None:
    assert PacketParser().feed(garbage + codec.encode(*packet)) == [packet]


@given(PACKETS, st.integers(0, 7), st.integers(2, 40))
def test_one_flipped_bit_is_never_believed(packet: Packet, bit: int, at: int) -> None:
    wire = bytearray(codec.encode(*packet))
    wire[min(at, len(wire) - 1)] ^= 1 << bit
    assert packet not in PacketParser().feed(bytes(wire))


@pytest.mark.parametrize("bit", [10, 11, 15])
@given(data=st.data())
def test_sign_and_magnitude_come_back(bit: int, data: st.DataObject) -> None:
    limit = (1 << bit) - 1
    value = data.draw(st.integers(-limit, limit))
    raw = to_sign_magnitude(value, bit)
    assert from_sign_magnitude(raw, bit) == value
    assert bool(raw >> bit) == (value < 0)
    with pytest.raises(ValueError, match="does not fit"):
        to_sign_magnitude(limit + 1, bit)


def test_sync_write_is_as_long_as_the_manual_says() -> None:
    frame = codec.sync_write(42, 2, dict.fromkeys(range(1, 8), bytes(2)))
    assert frame[:5] == b"\xff\xff\xfe" + bytes(((2 + 1) * 7 + 4, Instruction.SYNC_WRITE))


@given(st.lists(st.integers(0, 4095), min_size=3, max_size=3))
def test_the_frame_that_is_filled_in_is_the_one_that_is_built(goals: list[int]) -> None:
    ids = (1, 5, 9)
    data = {i: goal.to_bytes(2, "little") for i, goal in zip(ids, goals, strict=True)}
    filled = GoalFrame(ids).encode(np.array(goals, dtype=np.uint16))
    assert filled == codec.sync_write(Register.GOAL_POSITION, 2, data)


def test_a_reading_out_of_range_is_refused() -> None:
    for ticks, speed in ((-1, 0), (4096, 0), (2000, MAX_SPEED_TICKS_S + 1)):
        assert not Plausibility(1).accepts(0, ticks, speed, 0)
    for ticks, speed in ((0, 0), (4095, 0), (2000, -MAX_SPEED_TICKS_S)):
        assert Plausibility(1).accepts(0, ticks, speed, 0)


def test_a_jump_is_refused_once_and_believed_when_confirmed() -> None:
    judge = Plausibility(1)
    assert judge.accepts(0, 1000, 0, 0)
    assert not judge.accepts(0, 3000, 0, 10 * MS)
    assert judge.accepts(0, 1010, 0, 20 * MS)  # it had been a disturbance
    assert not judge.accepts(0, 3000, 0, 30 * MS)
    assert judge.accepts(0, 3005, 0, 31 * MS)  # it had been true
    assert judge.refused == 2


def test_motion_as_fast_as_a_servo_can_is_no_jump_nor_is_the_turn_over_zero() -> None:
    judge = Plausibility(1)
    ticks = 4090
    for step in range(100):
        assert judge.accepts(0, ticks % 4096, 3000, step * 10 * MS)
        ticks += 30


IDS = (1, 2, 5)
MOTIONS = st.lists(
    st.tuples(st.integers(0, 4095), st.integers(-9000, 9000)), min_size=3, max_size=3
)


def answers(motions: list[tuple[int, int]]) -> bytes:
    words = [to_sign_magnitude(value, 15) for motion in motions for value in motion]
    data = [b"".join(w.to_bytes(2, "little") for w in words[i : i + 2]) for i in (0, 2, 4)]
    return b"".join(codec.encode(i, 0, d) for i, d in zip(IDS, data, strict=True))


@given(MOTIONS)
def test_what_is_read_at_once_is_what_the_parser_reads(motions: list[tuple[int, int]]) -> None:
    data = answers(motions)
    readings = WholeAnswer(IDS, 4).readings(data)
    assert readings is not None and readings.current == ()
    assert list(zip(readings.ticks, readings.ticks_per_s, strict=True)) == motions
    assert [packet.device_id for packet in PacketParser().feed(data)] == list(IDS)


@given(MOTIONS, st.integers(0, 239), st.sampled_from(["flip", "cut", "longer", "late"]))
def test_no_damage_is_read_at_once(motions: list[tuple[int, int]], at: int, how: str) -> None:
    data = bytearray(answers(motions))
    if how == "flip":
        data[at // 8] ^= 1 << at % 8
    elif how == "cut":
        del data[at % len(data)]
    elif how == "longer":
        data.insert(at % len(data), 0xFF)
    else:
        data[10:20], data[20:30] = data[20:30], data[10:20]
    assert WholeAnswer(IDS, 4).readings(bytes(data)) is None


def test_currents_stand_where_the_registers_say() -> None:
    table = bytearray(15)
    table[13:15] = to_sign_magnitude(-12, 15).to_bytes(2, "little")
    readings = WholeAnswer((1,), 15).readings(codec.encode(1, 0, bytes(table)))
    assert readings is not None and readings.current == (-12,)


def test_a_complaint_is_never_read_at_once() -> None:
    assert WholeAnswer((1,), 4).readings(codec.encode(1, 0x20, bytes(4))) is None


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(-10, 4105), min_size=2, max_size=2),
            st.lists(st.integers(-8100, 8100), min_size=2, max_size=2),
            st.integers(0, 50),
        ),
        max_size=12,
    )
)
def test_judging_all_at_once_accepts_nothing_that_one_by_one_would_refuse(rows: list) -> None:  # type: ignore[type-arg]
    at_once, one_by_one, now_ns = Plausibility(2), Plausibility(2), 0
    for ticks, speeds, wait_ms in rows:
        now_ns += wait_ms * MS
        taken = at_once.accepts_all(ticks, speeds, now_ns)
        singles = [one_by_one.accepts(i, ticks[i], speeds[i], now_ns) for i in range(2)]
        if taken:
            assert all(singles)
        else:
            assert [at_once.accepts(i, ticks[i], speeds[i], now_ns) for i in range(2)] == singles
