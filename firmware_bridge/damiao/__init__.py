"""Damiao joint motors (OpenArm and others) in MIT mode."""

from firmware_bridge.damiao.bus import DamiaoConfig, damiao_bus

__all__ = ["DamiaoConfig", "damiao_bus"]
