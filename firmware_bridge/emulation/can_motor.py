"""An emulated motor on a CAN bus."""

from __future__ import annotations

from abc import abstractmethod

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.emulation.motor import Motor

NS_PER_MS = 1_000_000


class CanMotor(Motor):
    """A motor that hears every frame of its bus."""

    @abstractmethod
    def hear(self, frame: CanFrame) -> list[CanFrame]:
        """Take a frame that arrived at ``frame.stamp_ns``; returns the answers."""

    def tick(self, now_ns: int) -> list[CanFrame]:
        """Watchdogs and cyclic frames; called at least every plant step."""
        del now_ns
        return []
