"""Watches that wheels turn as they are told.

A joint that takes velocities has no position to be off, and its position drifts from the integral
of its commands for good reasons. What tells of a blocked, a slipping or a cut off wheel is its
velocity; it lags while the wheel speeds up, so only an error that lasts counts.
"""

from __future__ import annotations

import numpy as np

from edge.robot import Robot
from edge.safety import Stop
from firmware_bridge.messages import Float64Array

LASTING_S = 0.3  # longer than a wheel under load needs to follow an acceleration within its limit


class TurningWatch:
    """Counts for how long each joint has been off its commanded velocity."""

    def __init__(self, robot: Robot) -> None:
        """The limits are ``max_velocity_error_rad_s`` of the joints; one without it is free."""
        limits = [joint.max_velocity_error_rad_s for joint in robot.joints]
        self._names = tuple(joint.name for joint in robot.joints)
        self._limit_rad_s = np.array([limit or np.inf for limit in limits])
        self._watched = np.isfinite(self._limit_rad_s)
        self._ticks = np.zeros(len(limits), np.int64)
        self._allowed_ticks = round(LASTING_S * robot.servo.rate_hz)

    def check(self, commanded_rad_s: Float64Array, measured_rad_s: Float64Array) -> Stop | None:
        """Once a tick, both of shape (joints,): a Stop where an error lasts.

        A velocity that is not finite counts as off.
        """
        error = np.abs(measured_rad_s - commanded_rad_s)
        self._ticks += 1
        self._ticks[~self._watched | (error <= self._limit_rad_s)] = 0
        worst = int(np.argmax(self._ticks))
        if self._ticks[worst] <= self._allowed_ticks:
            return None
        return Stop(
            f"{self._names[worst]} turns at {measured_rad_s[worst]:.2f} rad/s, commanded are "
            f"{commanded_rad_s[worst]:.2f}, allowed are {self._limit_rad_s[worst]:g} apart"
        )
