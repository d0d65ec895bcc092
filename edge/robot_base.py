"""The base of a robot.yaml: two driven wheels, where it is told to be, and where it docks."""

from __future__ import annotations

import math

from pydantic import Field

from edge.robot_joints import JointLimits
from edge.schema import Finite, Name, Strict


class Pose(Strict):
    """A place on the floor, in the frame of whoever tells where the base is."""

    x_m: Finite = Field(ge=-1000, le=1000)
    y_m: Finite = Field(ge=-1000, le=1000)
    yaw_rad: Finite = Field(default=0.0, ge=-math.pi, le=math.pi)


class Base(Strict):
    """A base on two driven wheels, ``track_m`` apart, that turn forwards with positive velocities.

    ``pose``: the tracker that tells its pose: x, y in m and yaw in rad, of the middle between the
    wheels. ``dock``: where it is to stand at its work; it gets there forwards.
    """

    left_wheel: Name
    right_wheel: Name
    wheel_radius_m: Finite = Field(gt=0, le=1)
    track_m: Finite = Field(gt=0, le=5)
    max_speed_m_s: Finite = Field(gt=0, le=3)
    max_turn_rad_s: Finite = Field(gt=0, le=6)
    pose: str = Field(min_length=1)
    dock: Pose

    @property
    def fastest_wheel_rad_s(self) -> float:
        """Of a wheel on the outside, at full speed and turn."""
        return (self.max_speed_m_s + self.max_turn_rad_s * self.track_m / 2) / self.wheel_radius_m


def check_base(
    base: Base, wheels: tuple[str, ...], trackers: set[str], limits: dict[str, JointLimits]
) -> None:
    """Raise ValueError unless the wheels take velocities, its pose is told, and limits hold."""
    if sorted((base.left_wheel, base.right_wheel)) != sorted(wheels):
        raise ValueError(
            f"base: its wheels are {base.left_wheel} and {base.right_wheel}, the joints that take "
            f"velocities are {', '.join(wheels) or 'none'}"
        )
    if base.pose not in trackers:
        have = ", ".join(sorted(trackers)) or "none"
        raise ValueError(f"base.pose is {base.pose!r}, allowed are the trackers: {have}")
    for wheel in wheels:
        fastest = limits[wheel].max_velocity
        if base.fastest_wheel_rad_s > fastest:
            raise ValueError(
                f"base: max_speed_m_s and max_turn_rad_s make {base.fastest_wheel_rad_s:.2f} rad/s "
                f"of a wheel, joint_limits.{wheel}.max_velocity is {fastest:g}"
            )
