"""The joints of a robot.yaml: their limits, how they are commanded, and the base's geometry."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.schema import Finite, Name, ServoId, Strict

LONGEST_JERK_S = 0.25

GroupName = Literal["arm", "gripper", "base"]


class JointLimits(Strict):
    """Limits of one joint in rad, rad/s, rad/s², rad/s³; the keys of ROS ``joint_limits.yaml``.

    A joint that takes positions has position limits, a wheel has none; the others are for all.
    """

    has_position_limits: bool = True
    min_position: Annotated[Finite, Field(ge=-4 * math.pi, le=4 * math.pi)] | None = None
    max_position: Annotated[Finite, Field(ge=-4 * math.pi, le=4 * math.pi)] | None = None
    has_velocity_limits: Literal[True] = True
    max_velocity: Finite = Field(gt=0, le=50)
    has_acceleration_limits: Literal[True] = True
    max_acceleration: Finite = Field(gt=0, le=2000)
    has_jerk_limits: Literal[True] = True
    max_jerk: Finite = Field(gt=0, le=1_000_000)

    @property
    def lower_rad(self) -> float:
        """Lowest position; minus infinity without position limits."""
        return -math.inf if self.min_position is None else self.min_position

    @property
    def upper_rad(self) -> float:
        """Highest position; infinity without position limits."""
        return math.inf if self.max_position is None else self.max_position

    @model_validator(mode="after")
    def _full_acceleration_is_soon_reached(self) -> JointLimits:
        least = self.max_acceleration / LONGEST_JERK_S
        if self.max_jerk < least:
            raise ValueError(
                f"max_jerk is {self.max_jerk:g}, allowed is {least:g} or more: full acceleration "
                f"within {LONGEST_JERK_S:g} s, for the setpoints lag behind by as much"
            )
        return self

    @model_validator(mode="after")
    def _ordered(self) -> JointLimits:
        if self.lower_rad >= self.upper_rad:
            raise ValueError(
                f"min_position {self.min_position} is not below max_position {self.max_position}"
            )
        return self


class Group(Strict):
    """How the joints of a group are commanded.

    ``position``: they follow positions and hold their last one at rest. ``velocity``: they turn
    without end, follow velocities, and at rest their velocity is zero.
    """

    control: Literal["position", "velocity"] = "position"


class Joint(Strict):
    """One joint: where its motor is, and how motor angle and joint angle relate.

    joint angle = direction · motor angle / gear_ratio + zero_rad, the motor's angle counted from
    its centre. ``shadow_ids``: further motors on the same joint that obey this one's id and never
    answer. ``home_rad``: its place in the start posture; none for a joint that takes velocities.
    ``max_tracking_error_rad``: measured and commanded position further apart than this stop the
    robot; null for a joint that is meant to press, as a gripper is, and for one without positions.
    ``max_velocity_error_rad_s``: the same for the velocity of a joint that takes velocities, where
    the difference lasts; null to leave it unwatched.
    """

    name: Name
    group: GroupName
    bus: Name
    id: ServoId
    shadow_ids: tuple[ServoId, ...] = ()
    direction: Literal[1, -1] = 1
    gear_ratio: Finite = Field(default=1.0, gt=0, le=1000)
    zero_rad: Finite = Field(default=0.0, ge=-math.pi, le=math.pi)
    home_rad: Finite | None = None
    max_tracking_error_rad: Annotated[float, Field(gt=0, le=math.pi)] | None = None
    max_velocity_error_rad_s: Annotated[float, Field(gt=0, le=50)] | None = None


def check_position_joint(index: int, joint: Joint, limits: JointLimits) -> None:
    """Raise ValueError unless a joint that takes positions has all that it needs."""
    prefix = f"joint_limits.{joint.name}"
    if not limits.has_position_limits:
        raise ValueError(f"{prefix}.has_position_limits is False: {joint.name} takes positions")
    for key in ("min_position", "max_position"):
        if getattr(limits, key) is None:
            raise ValueError(f"missing key '{prefix}.{key}'")
    if joint.max_velocity_error_rad_s is not None:
        raise ValueError(
            f"joints.{joint.name}.max_velocity_error_rad_s is {joint.max_velocity_error_rad_s}: "
            f"a joint that takes positions has none"
        )
    if joint.home_rad is None:
        raise ValueError(f"missing key 'joints.{index}.home_rad'")
    if not limits.lower_rad <= joint.home_rad <= limits.upper_rad:
        raise ValueError(
            f"joints.{joint.name}.home_rad is {joint.home_rad}, allowed is "
            f"{limits.min_position} to {limits.max_position}"
        )


def check_velocity_joint(joint: Joint, limits: JointLimits) -> None:
    """Raise ValueError for a joint that takes velocities and is described by positions."""
    if limits.has_position_limits:
        raise ValueError(
            f"joint_limits.{joint.name}.has_position_limits is True, allowed is false: group "
            f"{joint.group} takes velocities"
        )
    given = {
        f"joint_limits.{joint.name}.min_position": limits.min_position,
        f"joint_limits.{joint.name}.max_position": limits.max_position,
        f"joints.{joint.name}.home_rad": joint.home_rad,
        f"joints.{joint.name}.max_tracking_error_rad": joint.max_tracking_error_rad,
    }
    for key, value in given.items():
        if value is not None:
            raise ValueError(f"{key} is {value}: a joint that takes velocities has none")
