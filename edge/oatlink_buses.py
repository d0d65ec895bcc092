"""From robot.yaml to a bus of the controller that speaks oatlink."""

from __future__ import annotations

from pathlib import Path

from edge.errors import ConfigError
from edge.rates import NS_PER_US, period_ns
from edge.robot import Robot
from edge.robot_buses import Bus
from edge.robot_joints import Joint
from firmware_bridge.bus import JointBus
from firmware_bridge.oatlink.bus import OatlinkBus
from firmware_bridge.oatlink.config import NO_FOLLOWER, JointSettings, OatlinkConfig
from firmware_bridge.oatlink.key_file import read_key
from firmware_bridge.oatlink.lines import CanFdLine, SerialLine
from firmware_bridge.transports.can_address import can_port
from firmware_bridge.transports.serial_port import SerialPort

CONTROLLER_MARGIN = 1.1  # a controller's own velocity limit: a backstop, not a second filter
CONTROLLER_STEP_S = 0.1  # its step limit, as a time at that velocity: what it forgives in silence
OATLINK_WATCHDOG_MS = 200


def build_oatlink(robot: Robot, bus: Bus, joints: list[Joint]) -> JointBus:
    """The bus, not opened yet. Raises ConfigError, ValueError or PortError naming what is wrong."""
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
