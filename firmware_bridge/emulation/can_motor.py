"""What every emulated motor on CAN has, whatever it speaks."""

from __future__ import annotations

from abc import ABC, abstractmethod

from firmware_bridge.can_bus.frame import CanFrame

NS_PER_MS = 1_000_000


class CanMotor(ABC):
    """One motor of a plant: its goal and torque, what was measured, and its words on the bus.

    Angles are the joint's own, in rad; ``changed`` is set whenever goal or torque are. A motor
    without ``power`` neither hears nor speaks and its joint is limp.
    """

    def __init__(self, joint: int, device_id: int) -> None:
        self.joint = joint
        self.device_id = device_id
        self.power = True
        self.goal_rad = 0.0
        self.has_torque = False
        self.changed = True
        self.position_rad = 0.0
        self.velocity_rad_s = 0.0
        self.current_ma = 0.0
        self.watchdog_trips = 0

    @abstractmethod
    def hear(self, frame: CanFrame) -> list[CanFrame]:
        """Take a frame that arrived at ``frame.stamp_ns``; returns the answers."""

    def tick(self, now_ns: int) -> list[CanFrame]:
        """Watchdogs and cyclic frames; called at least every plant step."""
        del now_ns
        return []

    @abstractmethod
    def aim_here(self) -> None:
        """Make the present position the goal."""

    @abstractmethod
    def hold(self) -> None:
        """Torque on, with the present position as the goal."""

    def restart(self) -> None:
        """Power lost and back: torque off, as at power-on."""
        self.power = True
        self.release()

    def move_to(self, goal_rad: float) -> None:
        """Take a goal."""
        self.goal_rad = goal_rad
        self.changed = True

    def release(self) -> None:
        """Torque off."""
        self.has_torque = False
        self.changed = True

    def grip(self) -> None:
        """Torque on."""
        self.has_torque = True
        self.changed = True
