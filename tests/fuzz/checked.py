"""Decoders whose input carries a check sum: what is damaged passes no oftener than it promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from firmware_bridge.dynamixel import codec as dynamixel
from firmware_bridge.dynamixel.cycle import StateQuestion
from firmware_bridge.dynamixel.cycle import WholeAnswer as CommonAnswer
from firmware_bridge.dynamixel.parser import PacketParser as DynamixelParser
from firmware_bridge.feetech import codec as feetech
from firmware_bridge.feetech.whole_answer import WholeAnswer
from firmware_bridge.oatlink import can_fd, cobs, wire
from firmware_bridge.oatlink.wire import Header, MessageType, Sealer
from tests.fuzz.tally import Tally, noise

SESSION = 0x1234_5678
MOST_DAMAGE = 8  # bytes that are replaced
_TYPES = [kind for kind in MessageType if kind != MessageType.WELCOME]
_IDS = (1, 2, 3, 4, 5, 6, 7)


@dataclass(frozen=True)
class Checked:
    """``make`` gives (wire bytes, what they mean), ``read`` the meanings found in bytes.

    ``promise`` is the chance that damage passes one check. ``mark`` begins a packet: noise has as
    many checks to pass as it has marks (None: one).
    """

    make: Callable[[Random], tuple[bytes, Any]]
    read: Callable[[bytes], list[Any]]
    promise: float
    mark: bytes | None = None

    def try_one(self, chance: Random, tally: Tally) -> None:
        """One input: a good packet, the same with damage, or noise."""
        kind = chance.random()
        if kind < 0.2:
            data, meaning = self.make(chance)
            assert self.read(data) == [meaning], f"a good packet was lost: {data.hex()}"
            tally.good += 1
        elif kind < 0.7:
            data, meaning = self.make(chance)
            damaged = damage(data, chance)
            found = [item for item in self.read(damaged) if item != meaning]
            tally.count_check(self._checks(damaged), bool(found), self.promise)
        else:
            data = noise(chance, self.mark)
            tally.count_check(self._checks(data), bool(self.read(data)), self.promise)

    def _checks(self, data: bytes) -> int:
        return 1 if self.mark is None else 1 + data.count(self.mark)


def damage(data: bytes, chance: Random) -> bytes:
    """Some bytes replaced, and now and then some lost."""
    damaged = bytearray(data)
    for _ in range(chance.randint(1, MOST_DAMAGE)):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    if chance.random() < 0.1:
        del damaged[chance.randrange(len(damaged)) :]
    return bytes(damaged)


def _dynamixel(chance: Random) -> tuple[bytes, Any]:
    parameters = noise(chance, b"\xff\xff\xfd", 40)
    packet = dynamixel.Packet(chance.randrange(253), chance.randrange(256), parameters)
    return dynamixel.encode(*packet), packet


def _fast_sync(chance: Random) -> tuple[bytes, Any]:
    answers = [dynamixel.Status(i, 0, chance.randbytes(10)) for i in _IDS]
    return dynamixel.fast_sync_status(answers), answers


def _read_fast_sync(data: bytes) -> list[Any]:
    found = [dynamixel.split_fast_sync(packet, 10) for packet in DynamixelParser().feed(data)]
    return [answers for answers in found if answers]


_QUESTION = StateQuestion(_IDS, fast=True)
_COMMON = CommonAnswer(_QUESTION)


def _common_answer(chance: Random) -> tuple[bytes, Any]:
    """One without stuffing, which the packet parser would go through instead."""
    while True:
        data, _ = _fast_sync(chance)
        if len(data) == _QUESTION.answer_length:
            return data, _read_common(data)[0]


def _read_common(data: bytes) -> list[Any]:
    states = _COMMON.states(data)
    return [] if states is None else [states.tobytes()]


def _feetech(chance: Random) -> tuple[bytes, Any]:
    packet = feetech.Packet(chance.randrange(254), chance.randrange(256), chance.randbytes(12))
    return feetech.encode(*packet), packet


_WHOLE = WholeAnswer(_IDS, 4)


def _whole_answer(chance: Random) -> tuple[bytes, Any]:
    data = b"".join(feetech.encode(i, 0, chance.randbytes(4)) for i in _IDS)
    return data, _WHOLE.readings(data)


def _read_whole(data: bytes) -> list[Any]:
    readings = _WHOLE.readings(data)
    return [] if readings is None else [readings]


class _Oatlink:
    """Payloads of one link."""

    def __init__(self, key: bytes, on_can_fd: bool = False) -> None:
        self._sealer = Sealer(key)
        self._on_can_fd = on_can_fd

    def make(self, chance: Random) -> tuple[bytes, Any]:
        if self._on_can_fd:
            kind, body = MessageType.TIME_REPLY, chance.randbytes(8)
        else:
            kind, body = chance.choice(_TYPES), noise(chance, b"\0", 60)
        time_us = 0 if kind == MessageType.HELLO else chance.randrange(1 << 20)
        header = Header(kind, chance.randrange(0x10000), time_us)
        payload = self._sealer.seal(header, SESSION, body)
        if self._on_can_fd:
            return can_fd.to_can_fd(payload), (header, body)
        return wire.frame_bytes(payload), (header, body)

    def read(self, data: bytes) -> list[Any]:
        if self._on_can_fd:
            payload = can_fd.from_can_fd(data, 7, bool(self._sealer.key))
            payloads = [] if payload is None else [payload]
        else:
            payloads = cobs.Deframer(wire.MAX_PAYLOAD).feed(data)
        opened = (self._sealer.open(payload, SESSION, 0) for payload in payloads)
        return [(frame.header, frame.body) for frame in opened if frame is not None]


_PLAIN, _KEYED = _Oatlink(b""), _Oatlink(bytes(range(32)))
_FD = _Oatlink(b"", on_can_fd=True)

TARGETS = {
    "dynamixel packets": Checked(
        _dynamixel, lambda data: list(DynamixelParser().feed(data)), 2**-16, dynamixel.HEADER
    ),
    "dynamixel fast sync answers": Checked(
        _fast_sync, _read_fast_sync, 2**-16, dynamixel.HEADER
    ),
    "dynamixel whole answers": Checked(_common_answer, _read_common, 2**-16),
    "feetech packets": Checked(
        _feetech, lambda data: list(feetech.PacketParser().feed(data)), 2**-8, b"\xff"
    ),
    "feetech whole answers": Checked(_whole_answer, _read_whole, 2**-8),
    "oatlink on serial": Checked(_PLAIN.make, _PLAIN.read, 2**-32, b"\0"),
    "oatlink with a key": Checked(_KEYED.make, _KEYED.read, 2**-32, b"\0"),
    "oatlink on CAN-FD": Checked(_FD.make, _FD.read, 2**-32),
}  # fmt: skip
