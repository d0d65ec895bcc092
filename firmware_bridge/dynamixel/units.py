"""The one place where rad, rad/s and mA meet the ticks of an X-series servo (e-manual, XM540).

Position: 4096 ticks per turn, centre 2048. Velocity: 0.229 rev/min. Current: 2.69 mA. A joint's
angle is ``direction · (ticks − 2048) · 2π/4096 + zero_offset``: ``zero_offset_rad`` is the joint's
angle while its servo stands at its centre.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
Int32Array = npt.NDArray[np.int32]

TICKS_PER_TURN = 4096
CENTRE_TICKS = 2048
RAD_PER_TICK = 2.0 * math.pi / TICKS_PER_TURN
RAD_S_PER_VELOCITY_UNIT = 0.229 * 2.0 * math.pi / 60.0
MA_PER_CURRENT_UNIT = 2.69
WATCHDOG_UNIT_MS = 20
RETURN_DELAY_UNIT_US = 2
INT32_LIMIT = 2**31 - 1
_MOST_STATE = np.array([[INT32_LIMIT], [INT32_LIMIT], [2**15 - 1]], dtype=np.float64)
_LEAST_STATE = -1.0 - _MOST_STATE


class JointUnits:
    """Conversion for the joints of one bus; arrays have shape (joints,)."""

    def __init__(self, directions: Sequence[int], zero_offsets_rad: Sequence[float]) -> None:
        self._direction = np.asarray(directions, dtype=np.float64)
        self._zero_rad = np.asarray(zero_offsets_rad, dtype=np.float64)
        self._rad_per_tick = self._direction * RAD_PER_TICK
        self._centre_rad = self._zero_rad - CENTRE_TICKS * self._rad_per_tick
        self._rad_s_per_unit = self._direction * RAD_S_PER_VELOCITY_UNIT
        self._ma_per_unit = self._direction * MA_PER_CURRENT_UNIT
        self._units = np.array((self._rad_per_tick, self._rad_s_per_unit, self._ma_per_unit))

    def position_rad(self, ticks: npt.ArrayLike) -> Float64Array:
        """Angle of each joint [rad] from its servo's ticks."""
        return np.asarray(ticks) * self._rad_per_tick + self._centre_rad

    def velocity_rad_s(self, units: npt.ArrayLike) -> Float64Array:
        """Velocity of each joint [rad/s] from the servo's units of 0.229 rev/min."""
        return np.asarray(units) * self._rad_s_per_unit

    def current_ma(self, units: npt.ArrayLike) -> Float64Array:
        """Current of each joint [mA], positive along the joint, from units of 2.69 mA."""
        return np.asarray(units) * self._ma_per_unit

    def position_ticks(
        self,
        position_rad: Float64Array,
        low_ticks: Float64Array | int = -INT32_LIMIT,
        high_ticks: Float64Array | int = INT32_LIMIT,
    ) -> Int32Array:
        """Nearest ticks for finite angles [rad], clipped to the limits; they never wrap round."""
        ticks = np.rint((position_rad - self._centre_rad) / self._rad_per_tick)
        return np.minimum(np.maximum(ticks, low_ticks), high_ticks).astype(np.int32)

    def state_units(
        self, position_rad: Float64Array, velocity_rad_s: Float64Array, current_ma: Float64Array
    ) -> Int32Array:
        """What the servos show of a state, shape (3, joints): position, velocity, current.

        Each the nearest in its unit; saturated to the bits of its register, 16 for the current.
        """
        state = np.array((position_rad - self._centre_rad, velocity_rad_s, current_ma))
        np.rint(state / self._units, out=state)
        np.minimum(np.maximum(state, _LEAST_STATE, out=state), _MOST_STATE, out=state)
        return state.astype(np.int32)


def watchdog_units(watchdog_ms: int) -> int:
    """Value of ``BUS_WATCHDOG`` for a silence [ms]; 0 is off, and a partial unit counts as one."""
    return -(-watchdog_ms // WATCHDOG_UNIT_MS)
