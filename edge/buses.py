"""From robot.yaml to buses of motors, one by one or all in one."""

from __future__ import annotations

from pathlib import Path

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
from firmware_bridge.oatlink.bus import OatlinkBus
from firmware_bridge.oatlink.config import NO_FOLLOWER, JointSettings, OatlinkConfig
from firmware_bridge.oatlink.key_file import read_key
from firmware_bridge.oatlink.lines import CanFdLine, SerialLine
from firmware_bridge.protocols import BusOptions, ProtocolSpec, load_protocols
from firmware_bridge.transports.can_address import can_port
from firmware_bridge.transports.serial_port import SerialPort

BUDGET_SHARE = 0.6  # of the tick, for reading one bus among several, where none is set
CONTROLLER_MARGIN = 1.1  # a controller's own velocity limit: a backstop, not a second filter
CONTROLLER_STEP_S = 0.1  # its step limit, as a time at that velocity: what it forgives in silence
OATLINK_WATCHDOG_MS = 200
_NAMES = {"gear_ratios": "gears", "shadow_ids": "shadows", "takes_velocity": "velocities"}


def build_bus(robot: Robot) -> JointBus | BusGroup:
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
            return _oatlink(robot, bus, joints)
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


def _oatlink(robot: Robot, bus: Bus, joints: list[Joint]) -> JointBus:
    period_us = period_ns(robot.servo.rate_hz) // NS_PER_US
    config = OatlinkConfig(
        joints=tuple(_controlled(robot, joint) for joint in joints),
        fast_sync=bus.fast_sync_read,
        watchdog_ms=OATLINK_WATCHDOG_MS if bus.watchdog_ms is None else bus.watchdog_ms,
        period_us=period_us,
        read_budget_us=bus.read_budget_us or period_us // 2,
        lead_us=round(bus.lead_ms * 1000),
        key=b"" if bus.key_file is None else read_key(Path(bus.key_file)),
    )
    if not bus.is_can:
        return OatlinkBus(SerialLine(SerialPort(bus.port, bus.baud)), config)
    port = can_port(bus.port, bus.bitrate, bus.data_bitrate)
    return OatlinkBus(CanFdLine.of(port, config, bus.node), config)


def _controlled(robot: Robot, joint: Joint) -> JointSettings:
    if len(joint.shadow_ids) > 1:
        raise ConfigError(f"joints.{joint.name}.shadow_ids: oatlink has room for one")
    if robot.takes_velocity(joint):
        raise ConfigError(f"joints.{joint.name}.group is {joint.group}: oatlink takes positions")
    if joint.gear_ratio != 1.0:
        raise ConfigError(f"joints.{joint.name}.gear_ratio: oatlink knows no gears")
    limits = robot.joint_limits[joint.name]
    velocity = limits.max_velocity * CONTROLLER_MARGIN
    return JointSettings(
        motor_id=joint.id,
        follower_id=joint.shadow_ids[0] if joint.shadow_ids else NO_FOLLOWER,
        direction=joint.direction,
        zero_rad=joint.zero_rad,
        min_rad=limits.lower_rad,
        max_rad=limits.upper_rad,
        max_velocity_rad_s=velocity,
        max_step_rad=velocity * CONTROLLER_STEP_S,
        deceleration_rad_s2=limits.max_acceleration,
    )
