"""Bodies of oatlink messages as pure functions between bytes and records (docs/oatlink.md, 4–7).

``unpack`` functions return None for a body of another length; they never raise on any bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from firmware_bridge.oatlink.schedule import Knot
from firmware_bridge.oatlink.units import Int16Array

MAX_KNOTS = 4
MAX_JOINTS = 16
AGE_UNIT_US = 10
AGE_NONE = 0xFFFF
_WELCOME = struct.Struct("<IIIIIHBBBB")
_ACK = struct.Struct("<BBHB")
_TELEMETRY = struct.Struct("<HHBBBH")
_TIME_REPLY = struct.Struct("<II")
_WORD = struct.Struct("<I")
_MEASURED = np.dtype([("position", "<i2"), ("velocity", "<i2"), ("current", "<i2")])


@dataclass(frozen=True, slots=True)
class Welcome:
    """Who the controller is; ``suspect`` is a motor id, 255 for none."""

    nonce: int
    boot_id: int
    time_high: int
    firmware_hash: int
    config_crc: int
    damaged_frames: int
    state: int
    joints: int
    suspect: int
    capabilities: int

    def pack(self) -> bytes:
        """Body bytes."""
        return _WELCOME.pack(*(getattr(self, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Ack:
    """Answer to a request."""

    request: int
    result: int
    sequence: int
    detail: int

    def pack(self) -> bytes:
        """Body bytes."""
        return _ACK.pack(self.request, self.result, self.sequence, self.detail)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """One report; arrays of shape (joints,) in wire units, ``age_us`` None without measurement."""

    state: int
    latch_reason: int
    reject_reason: int
    depth: int
    accepted: int
    underruns: int
    rejects: int
    clamps: int
    age_us: int | None
    position: Int16Array
    velocity: Int16Array
    current: Int16Array

    def pack(self) -> bytes:
        """Body bytes."""
        status = self.state | self.latch_reason << 2 | self.reject_reason << 6 | self.depth << 10
        age = AGE_NONE if self.age_us is None else min(AGE_NONE, self.age_us // AGE_UNIT_US)
        measured = np.zeros(len(self.position), _MEASURED)
        measured["position"], measured["velocity"] = self.position, self.velocity
        measured["current"] = self.current
        counters = (self.accepted, self.underruns, self.rejects, self.clamps)
        return _TELEMETRY.pack(status, *counters, age) + measured.tobytes()


def unpack_welcome(body: bytes) -> Welcome | None:
    """The record of a WELCOME."""
    return Welcome(*_WELCOME.unpack(body)) if len(body) == _WELCOME.size else None


def unpack_ack(body: bytes) -> Ack | None:
    """The record of an ACK."""
    return Ack(*_ACK.unpack(body)) if len(body) == _ACK.size else None


def unpack_telemetry(body: bytes) -> Telemetry | None:
    """The record of a TELEMETRY."""
    measured_bytes = len(body) - _TELEMETRY.size
    if measured_bytes < 0 or measured_bytes % _MEASURED.itemsize:
        return None
    status, accepted, underruns, rejects, clamps, age = _TELEMETRY.unpack_from(body)
    measured = np.frombuffer(body, _MEASURED, offset=_TELEMETRY.size)
    return Telemetry(
        status & 0x3,
        status >> 2 & 0xF,
        status >> 6 & 0xF,
        status >> 10,
        accepted,
        underruns,
        rejects,
        clamps,
        None if age == AGE_NONE else age * AGE_UNIT_US,
        measured["position"],
        measured["velocity"],
        measured["current"],
    )


def pack_word(value: int) -> bytes:
    """Body of HELLO (nonce), ARM (config CRC) and TIME (token)."""
    return _WORD.pack(value % (1 << 32))


def pack_setpoints(times_us: list[int], knots: Int16Array) -> bytes:
    """Body of SETPOINTS: ascending times [µs], angles of shape (knots, joints) in wire units.

    Raises ``ValueError`` for what the format cannot say.
    """
    count, joints = knots.shape
    if len(times_us) != count or not 1 <= count <= MAX_KNOTS or not 1 <= joints < MAX_JOINTS:
        raise ValueError(f"{len(times_us)} times and knots of shape {knots.shape} do not fit")
    steps_us = [late - early for early, late in pairwise(times_us)]
    if not all(0 < step_us <= 0xFFFF for step_us in steps_us):
        raise ValueError(f"steps of {steps_us} us between knots are not allowed (1 to 65535)")
    head = struct.pack("<BI", count << 4 | joints, times_us[0] % (1 << 32))
    return head + struct.pack(f"<{count - 1}H", *steps_us) + knots.astype("<i2").tobytes()


def pack_knots(times_us: list[int], knots: Sequence[Knot]) -> bytes:
    """Body of SETPOINTS for knots with their times on the controller's clock."""
    return pack_setpoints(times_us, np.stack([knot.angles for knot in knots]))


def unpack_setpoints(body: bytes) -> tuple[list[int], Int16Array] | None:
    """Times [µs, modulo 2³²] and angles of shape (knots, joints) of a SETPOINTS."""
    count, joints = (body[0] >> 4, body[0] & 0xF) if body else (0, 0)
    head = 5 + 2 * (count - 1)
    if not 1 <= count <= MAX_KNOTS or joints == 0 or len(body) != head + 2 * count * joints:
        return None
    times_us = [_WORD.unpack_from(body, 1)[0]]
    for step_us in struct.unpack_from(f"<{count - 1}H", body, 5):
        times_us.append((times_us[-1] + step_us) % (1 << 32))
    return times_us, np.frombuffer(body, "<i2", offset=head).reshape(count, joints)


def unpack_time_reply(body: bytes) -> tuple[int, int] | None:
    """Token and time of receiving [µs, modulo 2³²] of a TIME_REPLY."""
    return _TIME_REPLY.unpack(body) if len(body) == _TIME_REPLY.size else None
