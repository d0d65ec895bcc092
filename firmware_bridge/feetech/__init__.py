"""Feetech STS and SMS serial servos (SO-100, SO-101): codec, units and the joint bus."""

from firmware_bridge.feetech.bus import FeetechBus
from firmware_bridge.feetech.config import FeetechConfig

__all__ = ["FeetechBus", "FeetechConfig"]
