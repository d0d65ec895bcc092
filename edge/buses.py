"""From robot.yaml to a bus of motors."""

from __future__ import annotations

from edge.errors import ConfigError
from edge.rates import NS_PER_US, period_ns
from edge.robot import Bus, Joint, Robot
from firmware_bridge.bus import JointBus
from firmware_bridge.dynamixel.bus import DynamixelBus
from firmware_bridge.dynamixel.config import DynamixelConfig
from firmware_bridge.oatlink.bus import OatlinkBus
from firmware_bridge.oatlink.config import NO_FOLLOWER, JointSettings, OatlinkConfig
from firmware_bridge.transports.serial_port import SerialPort

CONTROLLER_MARGIN = 1.1  # a controller's own velocity limit: a backstop, not a second filter
CONTROLLER_STEP_S = 0.1  # its step limit, as a time at that velocity: what it forgives in silence


def build_bus(robot: Robot) -> JointBus:
    """The robot's bus, not opened yet. Raises ConfigError for a robot of several buses."""
    if len(robot.buses) != 1:
        raise ConfigError(f"buses: {len(robot.buses)} are named, one is served so far")
    ((name, bus),) = robot.buses.items()
    build = {"dynamixel": _dynamixel, "oatlink": _oatlink}[bus.protocol]
    try:
        return build(robot, bus)
    except ValueError as error:
        raise ConfigError(f"buses.{name}: {error}") from error


def _dynamixel(robot: Robot, bus: Bus) -> JointBus:
    config = DynamixelConfig(
        ids=tuple(joint.id for joint in robot.joints),
        directions=tuple(joint.direction for joint in robot.joints),
        zero_offsets_rad=tuple(joint.zero_rad for joint in robot.joints),
        shadows={joint.id: joint.shadow_ids for joint in robot.joints if joint.shadow_ids},
        baud=bus.baud,
        fast_sync=bus.fast_sync_read,
        watchdog_ms=bus.watchdog_ms,
    )
    return DynamixelBus(SerialPort(bus.port, bus.baud), config)


def _oatlink(robot: Robot, bus: Bus) -> JointBus:
    period_us = period_ns(robot.servo.rate_hz) // NS_PER_US
    config = OatlinkConfig(
        joints=tuple(_controlled(robot, joint) for joint in robot.joints),
        fast_sync=bus.fast_sync_read,
        watchdog_ms=bus.watchdog_ms,
        period_us=period_us,
        read_budget_us=period_us // 2,
        lead_us=round(bus.lead_ms * 1000),
    )
    return OatlinkBus(SerialPort(bus.port, bus.baud), config)


def _controlled(robot: Robot, joint: Joint) -> JointSettings:
    if len(joint.shadow_ids) > 1:
        raise ConfigError(f"joints.{joint.name}.shadow_ids: oatlink has room for one")
    limits = robot.joint_limits[joint.name]
    velocity = limits.max_velocity * CONTROLLER_MARGIN
    return JointSettings(
        motor_id=joint.id,
        follower_id=joint.shadow_ids[0] if joint.shadow_ids else NO_FOLLOWER,
        direction=joint.direction,
        zero_rad=joint.zero_rad,
        min_rad=limits.min_position,
        max_rad=limits.max_position,
        max_velocity_rad_s=velocity,
        max_step_rad=velocity * CONTROLLER_STEP_S,
        deceleration_rad_s2=limits.max_acceleration,
    )
