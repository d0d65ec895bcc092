"""What emulated servos move: any physics, or the simple one here."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from firmware_bridge.messages import Float64Array

MAX_VELOCITY_RAD_S = 3.0
TIME_CONSTANT_S = 0.03


class Plant(Protocol):
    """Physics of an arm; all arrays have shape (joints,), in rad, rad/s and mA."""

    @property
    def timestep_s(self) -> float:
        """Length of one step."""

    @property
    def position_rad(self) -> Float64Array:
        """Measured angles."""

    @property
    def velocity_rad_s(self) -> Float64Array:
        """Measured velocities."""

    @property
    def current_ma(self) -> Float64Array:
        """Measured currents."""

    def set_goal(self, position_rad: Float64Array) -> None:
        """Set what the servos' position loops aim at."""

    def set_torque(self, enabled: npt.NDArray[np.bool_]) -> None:
        """Say which joints hold; the others are limp."""

    def step(self, n: int = 1) -> None:
        """Advance by ``n`` timesteps."""


class FirstOrderPlant:
    """Joints without mass: each nears its goal with ``TIME_CONSTANT_S``, velocity limited."""

    timestep_s = 0.002

    def __init__(self, joints: int) -> None:
        self.position_rad: Float64Array = np.zeros(joints)
        self.velocity_rad_s: Float64Array = np.zeros(joints)
        self.current_ma: Float64Array = np.zeros(joints)
        self._goal_rad: Float64Array = np.zeros(joints)
        self._torque = np.zeros(joints, dtype=bool)

    def set_goal(self, position_rad: Float64Array) -> None:
        """Set what each joint closes in on [rad]."""
        self._goal_rad[:] = position_rad

    def set_torque(self, enabled: npt.NDArray[np.bool_]) -> None:
        """Joints without torque stand still: nothing here has weight."""
        self._torque[:] = enabled

    def step(self, n: int = 1) -> None:
        """Advance by ``n`` timesteps."""
        for _ in range(n):
            wanted = (self._goal_rad - self.position_rad) / TIME_CONSTANT_S
            velocity = np.clip(wanted, -MAX_VELOCITY_RAD_S, MAX_VELOCITY_RAD_S)
            self.velocity_rad_s[:] = np.where(self._torque, velocity, 0.0)
            self.position_rad += self.velocity_rad_s * self.timestep_s
