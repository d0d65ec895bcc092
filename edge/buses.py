"""From robot.yaml to a bus of motors."""

from __future__ import annotations

from edge.errors import ConfigError
from edge.robot import Robot
from firmware_bridge.bus import JointBus
from firmware_bridge.dynamixel.bus import DynamixelBus
from firmware_bridge.dynamixel.config import DynamixelConfig
from firmware_bridge.transports.serial_port import SerialPort


def build_bus(robot: Robot) -> JointBus:
    """The robot's bus, not opened yet. Raises ConfigError for a robot of several buses."""
    if len(robot.buses) != 1:
        raise ConfigError(f"buses: {len(robot.buses)} are named, one is served so far")
    ((_, bus),) = robot.buses.items()
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
