"""Robotis Dynamixel X-series servos, Protocol 2.0: codec, units and the joint bus."""

from firmware_bridge.dynamixel.bus import DynamixelBus
from firmware_bridge.dynamixel.config import DynamixelConfig

__all__ = ["DynamixelBus", "DynamixelConfig"]
