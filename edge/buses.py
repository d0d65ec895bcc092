"""From robot.yaml to buses of motors, one by one or all in one."""

from __future__ import annotations

import numpy as np

from edge.bus_group import BusGroup
from edge.bus_lane import BusLane
from edge.errors import ConfigError
from edge.rates import NS_PER_US, period_ns
from edge.returning_bus import ReturningBus
from edge.robot import Robot
from edge.robot_buses import OATLINKS, Bus
from edge.robot_joints import Joint
from firmware_bridge.bus import JointBus
from firmware_bridge.errors import PortError
from firmware_bridge.joint_map import JointMap
from firmware_bridge.protocols import BusOptions, ProtocolSpec, load_protocols

BUDGET_SHARE = 0.6  # of the tick, for reading one bus among several, where none is set
_NAMES = {"gear_ratios": "gears", "shadow_ids": "shadows", "takes_velocity": "velocities"}


def build_bus(robot: Robot) -> ReturningBus | BusGroup:
    """The robot's bus, or its several as one, not opened yet. Raises ConfigError."""
    if len(robot.buses) == 1:
        return ReturningBus(build_only_bus(robot))
    lanes = [_lane(robot, name) for name in robot.buses]
    return BusGroup(lanes, len(robot.joints))


def build_only_bus(robot: Robot) -> JointBus:
    """The robot's only bus, not opened yet. Raises ConfigError for a robot of several."""
    if len(robot.buses) != 1:
        raise ConfigError(f"buses: {len(robot.buses)} are named, allowed is one here")
    (name,) = robot.buses
    return build_one(robot, name)


def _lane(robot: Robot, name: str) -> BusLane:
    """A bus among others: it is read within its budget, and by its own driver no longer."""
    budget_us = robot.buses[name].read_budget_us
    if budget_us is None:
        budget_us = round(BUDGET_SHARE * period_ns(robot.servo.rate_hz)) // NS_PER_US
    update = {name: robot.buses[name].model_copy(update={"read_budget_us": budget_us})}
    bounded = robot.model_copy(update={"buses": robot.buses | update})
    joints = [index for index, joint in enumerate(robot.joints) if joint.bus == name]
    turns = any(robot.takes_velocity(robot.joints[index]) for index in joints)
    bus = build_one(bounded, name)
    return BusLane(name, bus, np.array(joints), budget_us * NS_PER_US, turns)


def build_one(robot: Robot, name: str) -> JointBus:
    """One of the robot's buses, not opened yet, with its joints in the robot's order.

    Raises ConfigError that names what the protocol cannot do.
    """
    bus = robot.buses[name]
    joints = [joint for joint in robot.joints if joint.bus == name]
    try:
        if bus.protocol in OATLINKS:
            from edge.oatlink_buses import build_oatlink  # half of what a servo's start would read

            return build_oatlink(robot, bus, joints)
        spec = load_protocols(bus.protocol)[bus.protocol]
        return spec.make_bus(bus.port, _joint_map(robot, spec, joints), _options(bus))
    except (ValueError, PortError) as error:
        raise ConfigError(f"buses.{name}: {error}") from error


def _joint_map(robot: Robot, spec: ProtocolSpec, joints: list[Joint]) -> JointMap:
    """What the protocol is told about its joints. Raises ConfigError for what it would ignore."""
    for joint in joints:
        special = {
            "gear_ratios": ("gear_ratio", joint.gear_ratio, joint.gear_ratio != 1.0),
            "shadow_ids": ("shadow_ids", list(joint.shadow_ids), bool(joint.shadow_ids)),
            "takes_velocity": ("group", joint.group, robot.takes_velocity(joint)),
        }
        for feature, (key, value, wanted) in special.items():
            if wanted and feature not in spec.features:
                raise ConfigError(
                    f"joints.{joint.name}.{key} is {value}: {spec.name} knows no {_NAMES[feature]}"
                )
    return JointMap(
        ids=tuple(joint.id for joint in joints),
        directions=tuple(joint.direction for joint in joints),
        zero_offsets_rad=tuple(joint.zero_rad for joint in joints),
        gear_ratios=tuple(joint.gear_ratio for joint in joints),
        shadow_ids=tuple(joint.shadow_ids for joint in joints),
        takes_velocity=tuple(robot.takes_velocity(joint) for joint in joints),
    )


def _options(bus: Bus) -> BusOptions:
    return BusOptions(
        bitrate=bus.bitrate if bus.is_can else bus.baud,
        data_bitrate=bus.data_bitrate,
        watchdog_ms=bus.watchdog_ms,
        read_budget_us=bus.read_budget_us,
        fast_sync=bus.fast_sync_read,
    )
