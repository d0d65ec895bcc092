"""Driving a base to its dock and away from it: from a pose on the floor to velocities of wheels.

The dock is neared along the line through it in its direction. The wanted heading leans towards that
line by atan(y / LINE_M), so that y decays over LINE_M of way; speed falls with the way left and the
error of the heading, so that it turns first and drives then. Pure functions of the pose; limits of
acceleration and jerk are the safety filter's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge.robot_base import Base
from firmware_bridge.messages import Float64Array

LINE_M = 0.22
TURN_GAIN_PER_S = 2.5
SPEED_GAIN_PER_S = 1.4
LEAST_SPEED_M_S = 0.012
ARRIVED_M = 0.004
SIDE_M = 0.02
HEADING_RAD = 0.06
AWAY_M = 0.9


@dataclass(frozen=True, slots=True)
class FromDock:
    """A pose seen from the dock: way left until it [m], how far to its left [m], heading [rad]."""

    ahead_m: float
    left_m: float
    heading_rad: float

    @property
    def arrived(self) -> bool:
        """Whether it is as far as it shall go, however well."""
        return self.ahead_m <= ARRIVED_M

    @property
    def docked(self) -> bool:
        """Whether it stands where it should."""
        well = abs(self.left_m) < SIDE_M and abs(self.heading_rad) < HEADING_RAD
        return well and abs(self.ahead_m) < SIDE_M

    @property
    def away(self) -> bool:
        """Whether there is enough way left to come in along the line."""
        return self.ahead_m >= AWAY_M


class Docking:
    """Manoeuvres of a base; wheel velocities are rad/s, left and right."""

    def __init__(self, base: Base) -> None:
        self._base = base

    def seen(self, pose: Float64Array) -> FromDock:
        """A pose x, y [m], yaw [rad], shape (3,), from the dock."""
        dock = self._base.dock
        x, y = float(pose[0]) - dock.x_m, float(pose[1]) - dock.y_m
        cosine, sine = math.cos(dock.yaw_rad), math.sin(dock.yaw_rad)
        heading = math.remainder(float(pose[2]) - dock.yaw_rad, 2 * math.pi)
        return FromDock(-(cosine * x + sine * y), cosine * y - sine * x, heading)

    def approach(self, seen: FromDock) -> Float64Array:
        """Velocities that bring it in."""
        wanted = -math.atan(seen.left_m / LINE_M)
        off = wanted - seen.heading_rad
        speed = max(LEAST_SPEED_M_S, SPEED_GAIN_PER_S * seen.ahead_m)
        straight = max(0.0, math.cos(off)) ** 4
        return self._wheels(0.0 if seen.arrived else speed * straight, TURN_GAIN_PER_S * off)

    def retreat(self, seen: FromDock, heading_rad: float) -> Float64Array:
        """Velocities that bring it out backwards, turned to a heading by and by."""
        left = max(0.0, AWAY_M - seen.ahead_m)
        speed = max(LEAST_SPEED_M_S, SPEED_GAIN_PER_S * left)
        share = min(1.0, max(0.0, 2.0 * seen.ahead_m))  # straight at first: a table is in the way
        return self._wheels(-speed, share * (heading_rad * share - seen.heading_rad))

    def _wheels(self, speed_m_s: float, turn_rad_s: float) -> Float64Array:
        base = self._base
        speed = min(max(speed_m_s, -base.max_speed_m_s), base.max_speed_m_s)
        turn = min(max(turn_rad_s, -base.max_turn_rad_s), base.max_turn_rad_s)
        half = turn * base.track_m / 2
        return np.array([speed - half, speed + half]) / base.wheel_radius_m
