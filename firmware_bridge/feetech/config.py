"""What a Feetech joint bus needs to know about its servos, and their units."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firmware_bridge.feetech.codec import MAX_ID
from firmware_bridge.joint_map import JointMap, JointScale, check
from firmware_bridge.messages import Float64Array

TICKS_PER_TURN = 4096
CENTRE_TICKS = 2048
RAD_PER_TICK = 2.0 * math.pi / TICKS_PER_TURN  # speed counts ticks per second
MA_PER_CURRENT_UNIT = 6.5


@dataclass(frozen=True, slots=True)
class FeetechConfig:
    """Servos by id; a joint's zero offset is its angle at its servo's centre (2048 ticks).

    ``with_currents`` reads 15 bytes of each servo instead of 4; without it currents are NaN: not
    measured. These servos have no watchdog: when the host goes silent they hold their last goal.
    """

    joints: JointMap
    baud: int = 1_000_000
    with_currents: bool = False
    reply_slack_us: int = 3000
    read_budget_us: int = 9000

    def __post_init__(self) -> None:
        self.joints.check_ids(0, MAX_ID)
        check(self.baud > 0, "baud", self.baud, "above 0")
        check(self.reply_slack_us > 0, "reply_slack_us", self.reply_slack_us, "above 0")
        check(self.read_budget_us > 0, "read_budget_us", self.read_budget_us, "above 0")


class FeetechUnits:
    """Conversion for the joints of one bus; arrays have shape (joints,)."""

    def __init__(self, joints: JointMap) -> None:
        self._scale = JointScale(joints, RAD_PER_TICK)

    def position_rad(self, ticks: Float64Array) -> Float64Array:
        """Joint angles [rad]."""
        return self._scale.position_rad(ticks - CENTRE_TICKS)

    def velocity_rad_s(self, ticks_per_s: Float64Array) -> Float64Array:
        """Joint velocities [rad/s]."""
        return self._scale.velocity_rad_s(ticks_per_s)

    def current_ma(self, units: Float64Array) -> Float64Array:
        """Currents [mA] along the joints, from units of 6.5 mA."""
        return self._scale.along_joint(units * MA_PER_CURRENT_UNIT)

    def position_ticks(
        self, position_rad: Float64Array, low: Float64Array, high: Float64Array
    ) -> npt.NDArray[np.uint16]:
        """Nearest ticks for finite angles [rad], clipped to the servos' limits."""
        ticks = np.rint(self._scale.position_units(position_rad)) + CENTRE_TICKS
        goals: npt.NDArray[np.uint16] = np.minimum(np.maximum(ticks, low), high).astype(np.uint16)
        return goals
