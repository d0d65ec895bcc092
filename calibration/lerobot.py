"""LeRobot's calibration files become ours.

Per motor: ``id``, ``drive_mode``, ``homing_offset``, ``range_min``, ``range_max``; positions in
ticks of 4096 a turn as the servo reports them, that is after the homing offset, which LeRobot
writes into the servo. Its angle 0 is the middle of the range. A Dynamixel servo itself applies the
drive mode; for a Feetech servo the host does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from edge.joint_calibration import CalibratedJoint, JointCalibration
from edge.schema import explain

TICKS_PER_TURN, CENTRE_TICKS = 4096, 2048
RAD_PER_TICK = 2 * math.pi / TICKS_PER_TURN
SERVO_REVERSES = {"dynamixel": True, "oatlink": True, "feetech": False}


class _Motor(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int = Field(ge=0, le=252)
    drive_mode: int = Field(ge=0, le=1)
    homing_offset: int
    range_min: int
    range_max: int

    @model_validator(mode="after")
    def _ordered(self) -> _Motor:
        if self.range_min >= self.range_max:
            raise ValueError(f"range_min {self.range_min} is not below range_max {self.range_max}")
        return self


@dataclass(frozen=True, slots=True)
class Owner:
    """A joint that a motor of the file belongs to, found by its id; ``protocol`` of its bus.

    ``middle_rad``: the joint's angle in the middle of the motor's range. A motor among
    ``shadow_ids`` moves with the joint and is not needed.
    """

    name: str
    servo_id: int
    shadow_ids: tuple[int, ...]
    protocol: str
    middle_rad: float = 0.0


def import_lerobot(text: bytes, robot: str, owners: Sequence[Owner]) -> JointCalibration:
    """Convert a file. Raises ValueError with one line that names the motor or the joint."""
    try:
        motors = TypeAdapter(dict[str, _Motor]).validate_json(text)
    except ValidationError as error:
        raise ValueError(explain(error)) from error
    by_id = _by_id(motors, owners)
    joints = {owner.name: _joint(by_id, owner) for owner in owners}
    return JointCalibration(robot=robot, source="converted from LeRobot", joints=joints)


def _by_id(motors: Mapping[str, _Motor], owners: Sequence[Owner]) -> dict[int, _Motor]:
    known = {i for owner in owners for i in (owner.servo_id, *owner.shadow_ids)}
    by_id: dict[int, _Motor] = {}
    for name, motor in motors.items():
        if motor.id not in known:
            raise ValueError(f"motor {name!r} has id {motor.id}, which no joint of the robot has")
        if motor.id in by_id:
            raise ValueError(f"motor {name!r} has id {motor.id}, and so has another")
        by_id[motor.id] = motor
    return by_id


def _joint(by_id: Mapping[int, _Motor], owner: Owner) -> CalibratedJoint:
    motor = by_id.get(owner.servo_id)
    if motor is None:
        raise ValueError(f"no motor has id {owner.servo_id}, which is joint {owner.name!r}")
    if owner.protocol not in SERVO_REVERSES:
        raise ValueError(
            f"joint {owner.name!r} speaks {owner.protocol}, and LeRobot's files do not"
        )
    reversed_here = motor.drive_mode == 1 and not SERVO_REVERSES[owner.protocol]
    direction = -1 if reversed_here else 1
    middle_ticks = (motor.range_min + motor.range_max) / 2
    zero = owner.middle_rad - direction * (middle_ticks - CENTRE_TICKS) * RAD_PER_TICK
    if not -math.pi <= zero <= math.pi:
        raise ValueError(f"joint {owner.name!r}: its zero is {zero:.2f} rad, allowed is -π to π")
    half = (motor.range_max - motor.range_min) / 2 * RAD_PER_TICK
    free = motor.range_max - motor.range_min >= TICKS_PER_TURN - 1
    return CalibratedJoint(
        id=owner.servo_id,
        direction=1 if direction > 0 else -1,
        zero_rad=round(zero, 6),
        min_position=None if free else round(owner.middle_rad - half, 6),
        max_position=None if free else round(owner.middle_rad + half, 6),
    )
