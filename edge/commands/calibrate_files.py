"""Files of measured joints, made: written in one step, or converted from LeRobot's."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from edge.errors import RunError, UsageError
from edge.joint_calibration import JointCalibration

if TYPE_CHECKING:
    from edge.robot import Robot

HEAD = "# Measured joints: joint angle = direction * motor angle + zero_rad. Angles in rad.\n"


def write(made: JointCalibration, path: Path) -> None:
    """Write the file; whoever looks sees the old one or the new. Raises RunError naming it."""
    text = HEAD + yaml.safe_dump(made.model_dump(mode="json", exclude_none=True), sort_keys=False)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"--out {path}: {error.strerror}") from error


def converted(file: Path, robot: Robot, middles_rad: dict[str, float]) -> JointCalibration:
    """LeRobot's file for the joints of a robot. Raises UsageError that says what is wrong.

    ``middles_rad``: each joint's angle in the middle of its motor's range.
    """
    from calibration.lerobot import Owner, import_lerobot

    owners = [
        Owner(j.name, j.id, j.shadow_ids, robot.buses[j.bus].protocol, middles_rad[j.name])
        for j in robot.joints
    ]
    try:
        made: JointCalibration = import_lerobot(file.read_bytes(), robot.name, owners)
    except OSError as error:
        raise UsageError(f"--import-lerobot {file}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"--import-lerobot {file}: {error}") from error
    return made
