"""oatlink: our own link to a motor controller (docs/oatlink.md)."""

from firmware_bridge.oatlink.bus import OatlinkBus
from firmware_bridge.oatlink.config import JointSettings, OatlinkConfig
from firmware_bridge.oatlink.lines import CanFdLine, SerialLine

__all__ = ["CanFdLine", "JointSettings", "OatlinkBus", "OatlinkConfig", "SerialLine"]
