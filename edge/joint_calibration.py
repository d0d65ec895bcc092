"""The file of measured joints that a robot.yaml names: zeros, directions and travel.

    format: oat-edge joint calibration
    version: 1
    robot: viperx
    source: measured on 2026-01-05
    joints:
      waist: {id: 1, direction: 1, zero_rad: 0.0123, min_position: -2.9, max_position: 2.95}

Zero and direction replace those of the robot.yaml. Travel narrows its position limits and never
widens them: limits are also a decision, and what the arm could reach does not overrule it.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from edge.errors import ConfigError
from edge.schema import Finite, Name, ServoId, Strict, explain
from edge.strict_yaml import parse_mapping

FORMAT: Literal["oat-edge joint calibration"] = "oat-edge joint calibration"
VERSION: Literal[1] = 1


class CalibratedJoint(Strict):
    """One joint: joint angle = direction · motor angle + ``zero_rad``; travel in joint angles, rad.

    Without travel the joint turns freely, or nobody measured it. ``id`` is the servo that was
    measured: another one in its place wants a new calibration.
    """

    id: ServoId
    direction: Literal[1, -1]
    zero_rad: Finite = Field(ge=-math.pi, le=math.pi)
    min_position: Finite | None = None
    max_position: Finite | None = None

    @model_validator(mode="after")
    def _travel_is_whole(self) -> CalibratedJoint:
        low, high = self.min_position, self.max_position
        if (low is None) != (high is None):
            raise ValueError("min_position and max_position stand together, or neither does")
        if low is not None and high is not None and low >= high:
            raise ValueError(f"min_position {low} is not below max_position {high}")
        return self


class JointCalibration(Strict):
    """The whole file: every joint of one robot."""

    format: Literal["oat-edge joint calibration"] = FORMAT
    version: Literal[1] = VERSION
    robot: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    source: str = Field(default="", max_length=200)
    joints: dict[Name, CalibratedJoint] = Field(min_length=1)


def load_joint_calibration(path: Path) -> JointCalibration:
    """Read and validate the file. Raises ConfigError naming it, the key and what is allowed."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise ConfigError(f"calibration {path}: cannot be read: {reason}") from error
    try:
        return JointCalibration.model_validate(parse_mapping(text, f"calibration {path}"))
    except ValidationError as error:
        raise ConfigError(f"calibration {path}: {explain(error)}") from error


def calibrated(data: dict[str, Any], calibration: JointCalibration, origin: str) -> dict[str, Any]:
    """A valid robot.yaml's mapping with measured joints in it; ``data`` stays as it is.

    Raises ConfigError, beginning with ``origin``, for joints or servo ids that are not the robot's.
    """
    data = copy.deepcopy(data)
    names = [joint["name"] for joint in data["joints"]]
    for name in calibration.joints:
        if name not in names:
            known = ", ".join(names)
            raise ConfigError(f"{origin}: joint {name!r} is unknown; the robot has {known}")
    for joint in data["joints"]:
        measured = calibration.joints.get(joint["name"])
        if measured is None:
            raise ConfigError(f"{origin}: nothing for joint {joint['name']!r}")
        if measured.id != joint["id"]:
            raise ConfigError(
                f"{origin}: joint {joint['name']!r} was measured on servo {measured.id}, "
                f"the robot has servo {joint['id']} there: calibrate again"
            )
        joint |= {"direction": measured.direction, "zero_rad": measured.zero_rad}
        _narrow(data["joint_limits"][joint["name"]], measured)
    return data


def _narrow(limits: dict[str, Any], measured: CalibratedJoint) -> None:
    if measured.min_position is not None:
        limits["min_position"] = max(limits["min_position"], measured.min_position)
    if measured.max_position is not None:
        limits["max_position"] = min(limits["max_position"], measured.max_position)
