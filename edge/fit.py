"""Whether a bundle and a robot belong together; asked before anything is started."""

from __future__ import annotations

from pathlib import Path

from edge.bundle import COMMAND_KEY, Manifest
from edge.errors import BundleError, ConfigError
from edge.robot import Robot
from edge.sensing import STATE_KEY


def check_fit(robot: Robot, manifest: Manifest, path: Path) -> None:
    """Raises BundleError or ConfigError that names what differs, the bundle's and the robot's."""
    if not manifest.has_policy:
        raise BundleError(f"bundle {path} is a tokenizer alone, without a policy to run")
    joints = tuple(joint.name for joint in robot.position_joints)
    if len(manifest.action.names) != len(joints):
        raise BundleError(
            f"bundle {path} acts on {len(manifest.action.names)} joints, "
            f"robot {robot.name} has {len(joints)}"
        )
    if manifest.action.names != joints:
        raise BundleError(
            f"bundle {path} acts on {', '.join(manifest.action.names)}; "
            f"robot {robot.name} has {', '.join(joints)}"
        )
    if manifest.action.unit != "rad":
        raise BundleError(f"bundle {path} acts in {manifest.action.unit!r}, allowed is 'rad'")
    ticks = robot.servo.rate_hz / manifest.action.rate_hz
    if ticks != round(ticks):
        raise ConfigError(
            f"servo.rate_hz is {robot.servo.rate_hz}, allowed are multiples of "
            f"{manifest.action.rate_hz:g}, the rate of bundle {path}"
        )
    _check_features(robot, manifest, path, len(joints))


def _check_features(robot: Robot, manifest: Manifest, path: Path, joints: int) -> None:
    for feature in manifest.observation:
        if feature.key in (STATE_KEY, COMMAND_KEY):
            if feature.size != joints:
                raise BundleError(
                    f"bundle {path}: {feature.key} has {feature.size} elements, "
                    f"robot {robot.name} has {joints} joints"
                )
        elif feature.key not in robot.trackers:
            raise ConfigError(f"trackers: bundle {path} needs {feature.key!r}, nothing provides it")
