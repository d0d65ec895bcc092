"""Decoders of bytes that the bus itself vouches for: whatever comes, they return, and quickly."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from edge.commands.bus_lines import as_json_line
from firmware_bridge.can_bus import envelope
from firmware_bridge.can_bus.frame import FD_LENGTHS, CanFrame
from firmware_bridge.cia402.dialect import Cia402Dialect
from firmware_bridge.damiao.dialect import DamiaoDialect
from firmware_bridge.devices import DEVICE, HOST
from firmware_bridge.emulation.slcan_adapter import read_frame, write_frame
from firmware_bridge.errors import DeviceError
from firmware_bridge.joint_map import JointMap
from firmware_bridge.moteus.dialect import MoteusDialect
from firmware_bridge.oatlink import cobs, messages
from firmware_bridge.odrive.dialect import ODriveDialect
from firmware_bridge.protocols import load_protocols
from tests.fuzz.tally import Tally, noise

_JOINTS = JointMap((1, 2, 3, 4, 5, 6, 7))
_UNPACKERS = (
    messages.unpack_welcome,
    messages.unpack_ack,
    messages.unpack_telemetry,
    messages.unpack_setpoints,
    messages.unpack_time_reply,
)


@dataclass(frozen=True)
class Unchecked:
    """``run`` takes one input; it raises nothing and returns nothing impossible."""

    run: Callable[[Random], None]

    def try_one(self, chance: Random, tally: Tally) -> None:
        """One input."""
        self.run(chance)
        tally.good += 1


def any_frame(chance: Random, base: int = 0) -> CanFrame:
    """A frame, classic or FD; often near an id that means something."""
    fd = chance.random() < 0.5
    length = chance.choice(FD_LENGTHS if fd else FD_LENGTHS[:9])
    extended = chance.random() < 0.1
    can_id = chance.randrange(1 << 29) if extended else (base + chance.randrange(16)) % 0x800
    if not extended and chance.random() < 0.5:
        can_id = chance.randrange(0x800)
    remote = not fd and chance.random() < 0.1
    return CanFrame(can_id, chance.randbytes(length), extended, remote, fd)


def _dialect(dialect: Any, base: int) -> Unchecked:
    dialect.watched = True

    def run(chance: Random) -> None:
        try:
            joint = dialect.accept(any_frame(chance, base))
        except DeviceError:
            return
        assert joint is None or 0 <= joint < len(_JOINTS)
        if joint is not None:
            position = dialect.measured().position_rad
            assert position.shape == (len(_JOINTS),) and np.isfinite(position).all()

    return Unchecked(run)


def _frame_tap(name: str, base: int) -> Unchecked:
    toolbox = load_protocols()[name].toolbox
    assert toolbox is not None
    tap: Any = toolbox().make_decoder()

    def run(chance: Random) -> None:
        decoded = tap.decode(any_frame(chance, base))
        if decoded is not None:
            json.loads(as_json_line(0.0, decoded))

    return Unchecked(run)


def _stream_tap(name: str, mark: bytes) -> Unchecked:
    toolbox = load_protocols()[name].toolbox
    assert toolbox is not None
    tap: Any = toolbox().make_decoder()

    def run(chance: Random) -> None:
        for decoded in tap.feed(noise(chance, mark), chance.choice((None, HOST, DEVICE))):
            json.loads(as_json_line(0.0, decoded))

    return Unchecked(run)


def _bodies(chance: Random) -> None:
    body = noise(chance, longest=60)
    for unpack in _UNPACKERS:
        unpack(body)


def _cobs(chance: Random) -> None:
    data = noise(chance, b"\0")
    decoded = cobs.decode(data)
    assert decoded is None or len(decoded) <= len(data)
    assert cobs.decode(cobs.encode(data)) == data


def _envelopes(chance: Random) -> None:
    data = bytes((chance.randrange(8),)) + noise(chance, longest=80)
    for decode in (envelope.decode_frame, envelope.decode_news, envelope.decode_json):
        try:
            decode(data)
        except (ValueError, struct.error):  # what the broker refuses a client for
            continue


def _slcan_lines(chance: Random) -> None:
    frame = any_frame(chance)
    line = write_frame(frame)
    zeros = frame._replace(data=bytes(len(frame.data)))
    assert read_frame(line) == (zeros if frame.remote else frame)
    read_frame(line[: chance.randrange(len(line))] + chance.choice("0aFz:\x80") * 3)


TARGETS = {
    "slcan lines": Unchecked(_slcan_lines),
    "odrive answers": _dialect(ODriveDialect(_JOINTS, with_currents=True), 1 << 5),
    "damiao answers": _dialect(DamiaoDialect(_JOINTS, 0x10, [1.0] * 7, [1.0] * 7), 0x11),
    "moteus answers": _dialect(MoteusDialect(_JOINTS, math.inf), 0x100),
    "cia402 answers": _dialect(Cia402Dialect(_JOINTS, 127, 0), 0x181),
    "monitor of odrive": _frame_tap("odrive", 1 << 5),
    "monitor of damiao": _frame_tap("damiao", 0x01),
    "monitor of moteus": _frame_tap("moteus", 0x100),
    "monitor of cia402": _frame_tap("cia402", 0x580),
    "monitor of oatlink_fd": _frame_tap("oatlink_fd", 0x0B0),
    "monitor of dynamixel": _stream_tap("dynamixel", b"\xff\xff\xfd\0"),
    "monitor of feetech": _stream_tap("feetech", b"\xff\xff"),
    "monitor of oatlink": _stream_tap("oatlink", b"\0"),
    "oatlink bodies": Unchecked(_bodies),
    "COBS": Unchecked(_cobs),
    "envelopes of the simulated bus": Unchecked(_envelopes),
}
