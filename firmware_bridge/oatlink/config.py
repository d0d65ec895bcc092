"""What an oatlink controller is told about its joints, and what the host keeps for itself."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from fastcrc.crc32 import autosar as crc32_autosar

from firmware_bridge.oatlink import units
from firmware_bridge.oatlink.wire import Sealer

NO_FOLLOWER = 255
MAX_JOINTS = 15
COMMIT_INDEX = 255
MAX_ANGLE_RAD = units.INT16.max / units.ANGLE_UNITS_PER_RAD
_JOINT = struct.Struct("<BBbBhhhHHH")
_COMMIT = struct.Struct("<BBHHHHHHH")
_CRC = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class JointSettings:
    """One joint: its motor, and the limits that the controller enforces; rad, rad/s, rad/s².

    joint angle = direction · motor angle + zero_rad, the motor's angle counted from its centre.
    """

    motor_id: int
    min_rad: float
    max_rad: float
    max_velocity_rad_s: float
    deceleration_rad_s2: float
    max_step_rad: float = 0.25
    direction: int = 1
    zero_rad: float = 0.0
    follower_id: int = NO_FOLLOWER

    def __post_init__(self) -> None:
        _check(0 <= self.motor_id < NO_FOLLOWER, "motor_id", self.motor_id, "0 to 254")
        _check(0 <= self.follower_id <= NO_FOLLOWER, "follower_id", self.follower_id, "0 to 255")
        _check(self.direction in (1, -1), "direction", self.direction, "1 or -1")
        angle = f"finite, within {MAX_ANGLE_RAD:.4f}"
        for key in ("min_rad", "max_rad", "zero_rad"):
            value = getattr(self, key)
            _check(math.isfinite(value) and abs(value) <= MAX_ANGLE_RAD, key, value, angle)
        _check(self.min_rad < self.max_rad, "min_rad", self.min_rad, "below max_rad")
        for key, largest in (
            ("max_velocity_rad_s", units.UINT16_MAX / units.VELOCITY_UNITS_PER_RAD_S),
            ("deceleration_rad_s2", units.UINT16_MAX / units.ACCELERATION_UNITS_PER_RAD_S2),
            ("max_step_rad", units.UINT16_MAX / units.ANGLE_UNITS_PER_RAD),
        ):
            value = getattr(self, key)
            _check(0 < value <= largest, key, value, f"above 0, at most {largest:g}")

    def pack(self) -> bytes:
        """The joint record of CONFIG, without its index."""
        return _JOINT.pack(
            self.motor_id,
            self.follower_id,
            self.direction,
            0,
            units.angle_unit(self.zero_rad),
            units.angle_unit(self.min_rad),
            units.angle_unit(self.max_rad),
            units.velocity_unit(self.max_velocity_rad_s),
            units.step_unit(self.max_step_rad),
            units.acceleration_unit(self.deceleration_rad_s2),
        )


@dataclass(frozen=True, slots=True)
class OatlinkConfig:
    """One controller; raises ``ValueError`` that names the bad key.

    ``period_us`` is the host's tick, ``lead_us`` how far ahead of its tick a setpoint is to be
    reached: at least two periods and the latency, so that one lost frame costs nothing.
    ``read_budget_us`` bounds ``read_state``. The other times go to the controller.
    """

    joints: tuple[JointSettings, ...]
    fast_sync: bool = True
    max_age_ms: int = 20
    max_ahead_ms: int = 10
    horizon_ms: int = 500
    silence_ms: int = 100
    damp_after_ms: int = 0
    watchdog_ms: int = 200
    cycle_us: int = 4000
    period_us: int = 5000
    lead_us: int = 12_000
    knots: int = 3
    read_budget_us: int = 4500
    key: bytes = b""

    def __post_init__(self) -> None:
        joints = len(self.joints)
        _check(1 <= joints <= MAX_JOINTS, "joints", joints, f"1 to {MAX_JOINTS}")
        for key in ("max_age_ms", "max_ahead_ms", "horizon_ms", "silence_ms", "cycle_us"):
            _check_word(key, getattr(self, key), 1)
        for key in ("damp_after_ms", "watchdog_ms"):
            _check_word(key, getattr(self, key), 0)
        _check(1 <= self.knots <= 4, "knots", self.knots, "1 to 4")
        _check(1 <= self.period_us <= 0xFFFF, "period_us", self.period_us, "1 to 65535")
        latest_us = self.horizon_ms * 1000
        _check(0 < self.lead_us < latest_us, "lead_us", self.lead_us, f"1 to {latest_us - 1}")
        _check(self.read_budget_us > 0, "read_budget_us", self.read_budget_us, "above 0")
        Sealer(self.key)

    @property
    def records(self) -> list[bytes]:
        """Bodies of the CONFIG requests, the commit last."""
        bodies = [bytes((i,)) + joint.pack() for i, joint in enumerate(self.joints)]
        return [*bodies, bytes((COMMIT_INDEX,)) + self._commit() + _CRC.pack(self.crc)]

    @property
    def crc(self) -> int:
        """The config CRC that the controller must arrive at, too."""
        packed = b"".join(joint.pack() for joint in self.joints) + self._commit()
        return int(crc32_autosar(packed))

    def _commit(self) -> bytes:
        return _COMMIT.pack(
            len(self.joints),
            int(self.fast_sync),
            self.max_age_ms,
            self.max_ahead_ms,
            self.horizon_ms,
            self.silence_ms,
            self.damp_after_ms,
            self.watchdog_ms,
            self.cycle_us,
        )


def _check(holds: bool, key: str, value: object, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{key}: {value} is not allowed (allowed: {allowed})")


def _check_word(key: str, value: int, least: int) -> None:
    _check(least <= value <= 0xFFFF, key, value, f"{least} to 65535")
