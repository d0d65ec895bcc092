"""Which device drives which joint, and how the two count: shared by all protocols."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firmware_bridge.messages import Float64Array

_DEFAULTS: dict[str, object] = {
    "directions": 1,
    "zero_offsets_rad": 0.0,
    "gear_ratios": 1.0,
    "shadow_ids": (),
    "takes_velocity": False,
}


@dataclass(frozen=True, slots=True)
class JointMap:
    """One entry per joint, in joint order; raises ``ValueError`` that names the bad key.

    A joint's angle is ``direction · device angle / gear_ratio + zero_offset``; its current counts
    along the joint. ``ids`` are the devices' addresses on the bus. ``shadow_ids``: further devices
    of a joint that obey the first one's address and never answer. ``takes_velocity``: which joints
    follow a setpoint's velocities, and not its positions.
    """

    ids: tuple[int, ...]
    directions: tuple[int, ...] = ()
    zero_offsets_rad: tuple[float, ...] = ()
    gear_ratios: tuple[float, ...] = ()
    shadow_ids: tuple[tuple[int, ...], ...] = ()
    takes_velocity: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        joints = len(self.ids)
        check(joints > 0, "ids", self.ids, "at least one device")
        check(len(set(self.ids)) == joints, "ids", self.ids, "each id once")
        for key, default in _DEFAULTS.items():
            values = tuple(getattr(self, key)) or (default,) * joints
            object.__setattr__(self, key, values)
            check(len(values) == joints, key, values, f"{joints} entries")
        for key in ("zero_offsets_rad", "gear_ratios"):
            values = getattr(self, key)
            check(all(map(math.isfinite, values)), key, values, "finite numbers")
        check(set(self.directions) <= {1, -1}, "directions", self.directions, "1 or -1")
        check(min(self.gear_ratios) > 0, "gear_ratios", self.gear_ratios, "above 0")

    def check_ids(self, low: int, high: int) -> None:
        """Raise ``ValueError`` unless every id lies in ``low`` to ``high``."""
        check(all(low <= i <= high for i in self.ids), "ids", self.ids, f"{low} to {high}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def velocity_mask(self) -> npt.NDArray[np.bool_] | None:
        """Which joints take velocities, shape (joints,); None where none does."""
        return np.array(self.takes_velocity) if any(self.takes_velocity) else None


class JointScale:
    """Linear conversion between joints and devices whose unit of angle is ``rad_per_unit``."""

    def __init__(self, joints: JointMap, rad_per_unit: float) -> None:
        self._direction: Float64Array = np.asarray(joints.directions, dtype=np.float64)
        self._zero_rad: Float64Array = np.asarray(joints.zero_offsets_rad, dtype=np.float64)
        ratios: Float64Array = np.asarray(joints.gear_ratios, dtype=np.float64)
        self._rad_per_unit: Float64Array = self._direction * rad_per_unit / ratios

    def position_rad(self, units: Float64Array) -> Float64Array:
        """Joint angles [rad] from device angles."""
        return np.asarray(units * self._rad_per_unit + self._zero_rad)

    def velocity_rad_s(self, units_per_s: Float64Array) -> Float64Array:
        """Joint velocities [rad/s] from device velocities."""
        return units_per_s * self._rad_per_unit

    def velocity_units(self, velocity_rad_s: Float64Array) -> Float64Array:
        """Device velocities from joint velocities [rad/s]."""
        return velocity_rad_s / self._rad_per_unit

    def along_joint(self, value: Float64Array) -> Float64Array:
        """Currents or torques with the sign of the joint."""
        return value * self._direction

    def rows(
        self,
        position: Float64Array | float,
        velocity: Float64Array | float,
        current_ma: Float64Array | float,
    ) -> tuple[Float64Array, Float64Array]:
        """Factors and offsets, each (3, joints), from rows of a device's codes to a joint's state.

        The rows are position [rad], velocity [rad/s] and current [mA]; the arguments say how many
        device angles, device velocities and mA one code is.
        """
        angle = self._rad_per_unit
        factors = np.array((angle * position, angle * velocity, self._direction * current_ma))
        offsets = np.zeros_like(factors)
        offsets[0] = self._zero_rad
        return factors, offsets

    def position_units(self, position_rad: Float64Array) -> Float64Array:
        """Device angles from joint angles [rad]."""
        return (position_rad - self._zero_rad) / self._rad_per_unit


def check(holds: bool, key: str, value: object, allowed: str) -> None:
    """Raise ``ValueError`` naming a key, its value and what would have been allowed."""
    if not holds:
        raise ValueError(f"{key}: {value} is not allowed (allowed: {allowed})")
