"""mjbots moteus controllers: registers over CAN-FD."""

from firmware_bridge.moteus.bus import MoteusConfig, moteus_bus

__all__ = ["MoteusConfig", "moteus_bus"]
