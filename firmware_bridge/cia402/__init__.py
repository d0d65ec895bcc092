"""CANopen drives with the CiA 402 profile, in cyclic synchronous position mode."""

from firmware_bridge.cia402.bus import Cia402Config, cia402_bus

__all__ = ["Cia402Config", "cia402_bus"]
