"""Where rad, rad/s and rad/s² meet oatlink's integers (docs/oatlink.md, section 1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_bridge.messages import Float64Array

ANGLE_UNITS_PER_RAD = 4096
VELOCITY_UNITS_PER_RAD_S = 1024
ACCELERATION_UNITS_PER_RAD_S2 = 16
INT16 = np.iinfo(np.int16)
UINT16_MAX = 0xFFFF

Int16Array = npt.NDArray[np.int16]


def angle_units(position_rad: Float64Array) -> Int16Array:
    """Nearest units for finite angles [rad]; they saturate and never wrap round."""
    units = np.rint(np.asarray(position_rad) * ANGLE_UNITS_PER_RAD)
    return np.clip(units, INT16.min, INT16.max).astype(np.int16)


def position_rad(units: npt.NDArray[Any]) -> Float64Array:
    """Angles [rad]."""
    return np.asarray(units, dtype=np.float64) / ANGLE_UNITS_PER_RAD


def velocity_rad_s(units: npt.NDArray[Any]) -> Float64Array:
    """Velocities [rad/s]."""
    return np.asarray(units, dtype=np.float64) / VELOCITY_UNITS_PER_RAD_S


def angle_unit(value_rad: float) -> int:
    """Nearest i16 for one angle [rad]."""
    return max(int(INT16.min), min(int(INT16.max), round(value_rad * ANGLE_UNITS_PER_RAD)))


def step_unit(value_rad: float) -> int:
    """Nearest u16 for a difference of angles [rad]."""
    return _uint16(value_rad * ANGLE_UNITS_PER_RAD)


def velocity_unit(value_rad_s: float) -> int:
    """Nearest u16 for a velocity limit [rad/s]."""
    return _uint16(value_rad_s * VELOCITY_UNITS_PER_RAD_S)


def acceleration_unit(value_rad_s2: float) -> int:
    """Nearest u16 for an acceleration [rad/s²]."""
    return _uint16(value_rad_s2 * ACCELERATION_UNITS_PER_RAD_S2)


def _uint16(value: float) -> int:
    return max(0, min(UINT16_MAX, round(value)))
