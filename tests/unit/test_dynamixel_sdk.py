"""The maker's own SDK talks to the emulated servos, and its bytes are ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from dynamixel_sdk import (
    COMM_RX_TIMEOUT,
    COMM_SUCCESS,
    GroupBulkRead,
    GroupBulkWrite,
    GroupSyncRead,
    GroupSyncWrite,
    PacketHandler,
    PortHandler,
)
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.dynamixel import codec
from firmware_bridge.dynamixel.codec import ErrorNumber
from firmware_bridge.dynamixel.registers import Register
from firmware_bridge.emulation.chains import VIPERX_IDS, plain_chain, viperx_chain
from firmware_bridge.emulation.paced_pty import PacedPty
from tests.contract.emulated_line import EmulatedLine, eventually

SDK = PacketHandler(2.0)
TRIES = 20  # the SDK waits 34 ms for an answer, less than a busy machine may take


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


def sdk_bytes(device_id: int, instruction: int, parameters: bytes) -> bytes:
    """A packet by the SDK's own stuffing and CRC (its txPacket throws the stuffed copy away)."""
    length = len(parameters) + 3
    head = [0xFF, 0xFF, 0xFD, 0x00, device_id, length & 0xFF, length >> 8, instruction]
    packet = SDK.addStuffing([*head, *parameters, 0, 0])
    crc = SDK.updateCRC(0, packet, len(packet) - 2)
    return bytes(packet[:-2]) + crc.to_bytes(2, "little")


def test_ping_read_write_and_reboot_are_the_sdks_bytes() -> None:
    assert recorded(lambda t: SDK.txPacket(t, [0, 0, 0, 0, 7, 3, 0, 1, 0, 0])) == codec.ping(7)
    assert recorded(lambda t: SDK.txPacket(t, [0, 0, 0, 0, 7, 3, 0, 8, 0, 0])) == codec.reboot(7)
    assert recorded(lambda t: SDK.readTx(t, 7, 132, 4)) == codec.read(7, 132, 4)
    goal = [0x00, 0x08, 0xFF, 0xFF]
    assert recorded(lambda t: SDK.writeTxOnly(t, 7, 116, 4, goal)) == codec.write(
        7, 116, bytes(goal)
    )


SPIKY = st.lists(st.sampled_from([b"\xff", b"\xfd", b"\xff\xff\xfd", b"\x00"]), max_size=20)


@given(st.integers(0, 252), st.sampled_from([1, 3, 0x55, 0x83]), SPIKY.map(b"".join))
def test_stuffing_and_crc_are_the_sdks(device_id: int, instruction: int, data: bytes) -> None:
    assert codec.encode(device_id, instruction, data) == sdk_bytes(device_id, instruction, data)


@pytest.mark.parametrize("fast", [False, True])
def test_sync_reads_are_the_sdks_bytes(fast: bool) -> None:
    build = codec.fast_sync_read if fast else codec.sync_read
    ids = list(VIPERX_IDS)
    sent = recorded(lambda t: SDK.syncReadTx(t, 126, 10, ids, len(ids), fast))
    assert sent == build(126, 10, ids)


def test_a_sync_write_is_the_sdks_bytes() -> None:
    data = {1: b"\x00\x08\x00\x00", 2: b"\xff\xff\x00\x00", 9: b"\xff\xff\xff\xff"}

    def send(tape: Tape) -> None:
        group = GroupSyncWrite(tape, SDK, 116, 4)
        for servo_id, goal in data.items():
            assert group.addParam(servo_id, list(goal))
        group.txPacket()

    assert recorded(send) == codec.sync_write(116, 4, data)


@pytest.fixture
def line() -> Iterator[EmulatedLine]:
    with EmulatedLine(viperx_chain(), PacedPty(1_000_000)) as running:
        yield running


@pytest.fixture
def port(line: EmulatedLine) -> Iterator[PortHandler]:
    handler = PortHandler(line.path)
    assert handler.setBaudRate(1_000_000)
    yield handler
    handler.closePort()


def answered(ask: Callable[[], tuple[int, ...]], result_at: int = -2) -> tuple[int, ...]:
    """Ask again while the answer is late."""
    for _ in range(TRIES):
        answer = ask()
        if answer[result_at] != COMM_RX_TIMEOUT:
            break
    assert answer[result_at] == COMM_SUCCESS, SDK.getTxRxResult(answer[result_at])
    return answer


def test_the_sdk_pings_every_servo(port: PortHandler) -> None:
    models = {i: answered(lambda i=i: SDK.ping(port, i))[0] for i in range(1, 10)}
    assert models == dict.fromkeys(range(1, 8), 1120) | dict.fromkeys((8, 9), 1020)


def test_the_sdk_finds_nobody_at_a_free_id(port: PortHandler) -> None:
    assert SDK.ping(port, 77)[1] == COMM_RX_TIMEOUT


def test_the_sdk_writes_and_reads_back(port: PortHandler, line: EmulatedLine) -> None:
    _, error = answered(lambda: SDK.write4ByteTxRx(port, 6, Register.GOAL_POSITION, 2500))
    assert error == 0
    value, _, _ = answered(lambda: SDK.read4ByteTxRx(port, 6, Register.GOAL_POSITION))
    assert value == 2500
    assert line.servo(6).goal_ticks == 2500


def test_the_sdk_sees_a_refusal(port: PortHandler) -> None:
    _, error = answered(lambda: SDK.write4ByteTxRx(port, 6, Register.GOAL_POSITION, 5000))
    assert error == ErrorNumber.DATA_LIMIT


@pytest.mark.parametrize("fast", [False, True])
def test_the_sdk_reads_all_joints_at_once(
    port: PortHandler, line: EmulatedLine, fast: bool
) -> None:
    line.plant.position_rad[:] = [0.1, 0.2, 0.3, -0.1, -0.2, -0.3, 0.0]
    assert eventually(lambda: line.servo(8).table[Register.PRESENT_POSITION] < 2048)
    group = GroupSyncRead(port, SDK, Register.PRESENT_CURRENT, 10)
    for servo_id in VIPERX_IDS:
        assert group.addParam(servo_id)
    ask = group.fastSyncRead if fast else group.txRxPacket
    answered(lambda: (ask(),), result_at=0)
    read = [group.getData(i, Register.PRESENT_POSITION, 4) for i in VIPERX_IDS]
    assert read == [2113, 2178, 2244, 1983, 1918, 1852, 2048]


def test_the_sdk_moves_joints_by_a_sync_write(port: PortHandler, line: EmulatedLine) -> None:
    for servo_id in (1, 9):
        answered(lambda i=servo_id: SDK.write1ByteTxRx(port, i, Register.TORQUE_ENABLE, 1))
    group = GroupSyncWrite(port, SDK, Register.GOAL_POSITION, 4)
    for servo_id, goal in ((1, 2148), (9, 1948)):
        assert group.addParam(servo_id, list(goal.to_bytes(4, "little")))
    assert group.txPacket() == COMM_SUCCESS
    assert eventually(
        lambda: [line.servo(i).table[Register.PRESENT_POSITION] for i in (1, 9)] == [2148, 1948]
    )


def test_the_sdk_writes_and_reads_different_registers_in_bulk(
    port: PortHandler, line: EmulatedLine
) -> None:
    first, second = line.bus.servos[0].servo_id, line.bus.servos[-1].servo_id
    wanted = {first: (Register.PROFILE_VELOCITY, 4, 77), second: (Register.LED, 1, 1)}
    write, read = GroupBulkWrite(port, SDK), GroupBulkRead(port, SDK)
    for servo_id, (address, length, value) in wanted.items():
        assert write.addParam(servo_id, address, length, list(value.to_bytes(length, "little")))
        assert read.addParam(servo_id, address, length)
    assert write.txPacket() == COMM_SUCCESS
    answered(lambda: (read.txRxPacket(), 0))
    for servo_id, (address, length, value) in wanted.items():
        assert read.isAvailable(servo_id, address, length)
        assert read.getData(servo_id, address, length) == value


def test_the_sdk_reboots_a_servo(line: EmulatedLine, port: PortHandler) -> None:
    line.servo(4).fail(0x20)
    assert SDK.reboot(port, 4)[0] in (COMM_SUCCESS, COMM_RX_TIMEOUT)
    assert eventually(lambda: line.servo(4).alert == 0)


def test_the_sdk_finds_a_long_chain_by_one_broadcast() -> None:
    with EmulatedLine(plain_chain(12), PacedPty(1_000_000)) as line:
        handler = PortHandler(line.path)
        assert handler.setBaudRate(1_000_000)
        found: dict[int, list[int]] = {}
        for _ in range(TRIES):
            found, _ = SDK.broadcastPing(handler)
            if len(found) == 12:
                break
        handler.closePort()
    assert sorted(found) == list(range(1, 13))
