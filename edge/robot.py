"""robot.yaml: a robot's joints, limits, buses and rates; validated, and an unknown key is fatal.

Joint limits stand in a ROS-style ``joint_limits`` block. Every joint needs velocity, acceleration
and jerk limits, and position limits unless it is a wheel: the safety filter has no unlimited mode.
Joints and buses have schemas of their own (``edge.robot_joints``, ``edge.robot_buses``).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from edge.engine_names import EngineName
from edge.errors import ConfigError
from edge.joint_calibration import calibrated, load_joint_calibration
from edge.robot_base import Base, check_base
from edge.robot_buses import EMULATED, Bus
from edge.robot_joints import (
    Group,
    GroupName,
    Joint,
    JointLimits,
    check_position_joint,
    check_velocity_joint,
)
from edge.schema import Finite, Name, Strict, explain
from edge.signature import BundlePolicy
from edge.strict_yaml import parse_mapping


class Tracker(Strict):
    """Source of one observation feature: datagrams on a Unix socket (see ``edge.tracker``)."""

    socket: str = Field(min_length=1)
    max_age_ms: Finite = Field(default=200, gt=0, le=10_000)


class RealTime(Strict):
    """How a process asks the kernel for time; what it may not have is warned about and left out.

    ``wake_latency_us``: cores may sleep no deeper than what they wake from within this time, as
    long as the process lives (0: not at all; null: as the system pleases).
    """

    priority: int | None = Field(default=None, ge=1, le=98)
    core: int | None = Field(default=None, ge=0)
    lock_memory: bool = True
    wake_latency_us: int | None = Field(default=None, ge=0, le=100_000)


class ServoRates(RealTime):
    """The servo loop.

    ``spin_us``: it is woken at most so long before a tick and spins the rest; how long is learnt
    from the kernel's lateness. 0 never spins and is as late as the kernel.
    """

    wake_latency_us: int | None = Field(default=0, ge=0, le=100_000)
    rate_hz: int = Field(ge=10, le=1_000)
    spin_us: int = Field(default=200, ge=0, le=2_000)
    max_observation_age_ms: Finite = Field(default=50, gt=0, le=1_000)
    blend_ms: Finite = Field(default=80, ge=0, le=1_000)
    ramp_velocity_rad_s: Finite = Field(default=1.0, gt=0, le=5)


class PlannerRates(RealTime):
    """The planner. ``budget_us``: time from the hand-over of an observation to its chunk.

    ``miss_target``: share of plans that may come later.
    """

    engine: EngineName = "auto"
    precision: str = "fp32"
    budget_us: int = Field(default=20_000, ge=100, le=1_000_000)
    miss_target: Finite = Field(default=0.001, gt=0, lt=1)


class Robot(Strict):
    """A whole robot. Joints are commanded and observed in the order of ``joints``.

    ``groups``: how a group's joints are commanded; by positions where nothing is said.
    ``calibration``: a file of measured joints (see ``edge.joint_calibration``), relative to the
    robot.yaml; a loaded robot's joints and limits are those measured.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    bundle: str = Field(min_length=1)
    bundle_policy: BundlePolicy = BundlePolicy()
    calibration: str | None = Field(default=None, min_length=1)
    plant: str | None = None
    servo: ServoRates
    planner: PlannerRates = PlannerRates()
    buses: dict[Name, Bus] = Field(min_length=1)
    trackers: dict[str, Tracker] = Field(default_factory=dict)
    groups: dict[GroupName, Group] = Field(default_factory=dict)
    base: Base | None = None
    joints: tuple[Joint, ...] = Field(min_length=1, max_length=64)
    joint_limits: dict[Name, JointLimits]

    @model_validator(mode="after")
    def _joints_are_whole(self) -> Robot:
        names = [joint.name for joint in self.joints]
        _unique("joints: name", names)
        servos = [(joint.bus, i) for joint in self.joints for i in (joint.id, *joint.shadow_ids)]
        _unique("joints: bus and id", servos)
        _same("joint_limits", set(self.joint_limits), set(names))
        _same("joints: bus", {joint.bus for joint in self.joints}, set(self.buses))
        for index, joint in enumerate(self.joints):
            limits = self.joint_limits[joint.name]
            if self.takes_velocity(joint):
                check_velocity_joint(joint, limits)
            else:
                check_position_joint(index, joint, limits)
        if not self.position_joints:
            raise ValueError("joints: none takes positions, allowed is one or more")
        if self.base is not None:
            wheels = tuple(joint.name for joint in self.velocity_joints)
            check_base(self.base, wheels, set(self.trackers), self.joint_limits)
        return self

    @model_validator(mode="after")
    def _all_or_nothing_is_emulated(self) -> Robot:
        ports = {f"buses.{name}.port": bus.port for name, bus in self.buses.items()}
        ports |= {f"trackers.{key}.socket": item.socket for key, item in self.trackers.items()}
        real = [key for key, port in ports.items() if port != EMULATED]
        emulated = [key for key in ports if key not in real]
        if real and emulated:
            raise ValueError(
                f"{real[0]} is {ports[real[0]]!r} and {emulated[0]} is {EMULATED!r}: "
                "allowed are all real or all emulated"
            )
        return self

    def takes_velocity(self, joint: Joint) -> bool:
        """Whether a joint's group is commanded by velocities."""
        group = self.groups.get(joint.group)
        return group is not None and group.control == "velocity"

    @property
    def position_joints(self) -> tuple[Joint, ...]:
        """The joints that take positions: those that a policy acts on."""
        return tuple(joint for joint in self.joints if not self.takes_velocity(joint))

    @property
    def velocity_joints(self) -> tuple[Joint, ...]:
        """The joints that take velocities: wheels."""
        return tuple(joint for joint in self.joints if self.takes_velocity(joint))

    @property
    def emulated(self) -> bool:
        """Whether any port asks for the emulator."""
        ports = [bus.port for bus in self.buses.values()]
        return EMULATED in ports + [tracker.socket for tracker in self.trackers.values()]


def load_robot(
    name_or_path: str,
    ports: dict[str, str] | None = None,
    sockets: dict[str, str] | None = None,
    planner: dict[str, Any] | None = None,
    bus: dict[str, Any] | None = None,
    calibration: Path | None = None,
    uncalibrated: bool = False,
) -> Robot:
    """The robot of a built-in name or of a robot.yaml.

    ``ports`` replaces ports by the names of buses, ``sockets`` those of trackers by their features,
    ``planner`` the planner's settings, ``bus`` those of a robot's only bus, ``calibration`` the
    file of measured joints; ``uncalibrated`` leaves the one that robot.yaml names aside, for who is
    about to make it. Raises ConfigError with the file, the key, its value and what is allowed.
    """
    path, text, folder = _find(name_or_path)
    data = parse_mapping(text, path)
    alone = parse_robot(data, path)  # the file must be right by itself
    if calibration is None and alone.calibration is not None and not uncalibrated:
        calibration = folder / alone.calibration
    if calibration is not None:
        data = _calibrated(data, path, calibration)
    _replace(data, path, "buses", "port", ports or {})
    _replace(data, path, "trackers", "socket", sockets or {})
    data["planner"] = data.get("planner", {}) | (planner or {})
    if bus and len(data["buses"]) > 1:
        wanted = ", ".join(f"{key}={value}" for key, value in bus.items())
        have = ", ".join(data["buses"])
        raise ConfigError(f"{wanted}: {path} has several buses ({have}); change them there")
    data["buses"] = {name: part | (bus or {}) for name, part in data["buses"].items()}
    for part in data["buses"].values():
        if part.get("key_file") is not None:
            part["key_file"] = str(folder / part["key_file"])
    robot, keys = parse_robot(data, path), f"{path}: bundle_policy.keys"
    return robot.model_copy(update={"bundle_policy": robot.bundle_policy.resolved(folder, keys)})


def _calibrated(data: dict[str, Any], path: str, file: Path) -> dict[str, Any]:
    origin = f"{path} with calibration {file}"
    data = calibrated(data, load_joint_calibration(file), origin) | {"calibration": str(file)}
    parse_robot(data, origin)
    return data


def _replace(
    data: dict[str, Any], path: str, section: str, key: str, values: dict[str, str]
) -> None:
    parts = data.get(section, {})
    for name, value in values.items():
        if name not in parts:
            have = ", ".join(parts) or "none"
            raise ConfigError(f"{name}={value}: {path} has no {name!r} in {section}; it has {have}")
        parts[name][key] = value


def parse_robot(data: dict[str, Any], origin: str) -> Robot:
    """Validate a mapping as a robot. Raises ConfigError on the first problem."""
    try:
        return Robot.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{origin}: {explain(error)}") from error


def built_in_robots() -> list[str]:
    """Names of the robots that ship with the package."""
    files = resources.files("edge").joinpath("robots").iterdir()
    return sorted(file.name[:-5] for file in files if file.name.endswith(".yaml"))


def _find(name_or_path: str) -> tuple[str, str, Path]:
    """How errors name it, its text, and the folder that paths in it start from."""
    if name_or_path in built_in_robots():
        file = resources.files("edge").joinpath("robots").joinpath(f"{name_or_path}.yaml")
        return f"robot {name_or_path}", file.read_text(encoding="utf-8"), Path()
    path = Path(name_or_path)
    if not path.is_file():
        have = ", ".join(built_in_robots())
        raise ConfigError(f"no robot {name_or_path!r}: neither a file nor one of {have}")
    try:
        return str(path), path.read_text(encoding="utf-8"), path.parent
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def _unique(what: str, values: Sequence[object]) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"{what} {value!r} stands twice")


def _same(what: str, have: set[str], wanted: set[str]) -> None:
    for name in sorted(wanted - have):
        raise ValueError(f"{what}: nothing for {name!r}")
    for name in sorted(have - wanted):
        raise ValueError(f"{what}: {name!r} is unknown; known are {', '.join(sorted(wanted))}")
