"""ODrive motor controllers over CAN (CANSimple), firmware 0.5 and 0.6."""

from firmware_bridge.odrive.bus import ODriveConfig, odrive_bus

__all__ = ["ODriveConfig", "odrive_bus"]
