"""Emulated motors and the plant they move, whatever line they listen to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from firmware_bridge.emulation.plant import Plant

WIND_UP_RAD = 0.5  # a speed loop's integrator is bounded


class Motor(ABC):
    """One motor of a plant: its goal and torque, and what was measured.

    Angles are the joint's own, in rad; ``changed`` is set whenever goal or torque are. A motor
    without ``power`` neither hears nor speaks and its joint is limp. One that turns at a velocity
    (``turning_rad_s``, else None) moves its goal on with each step, as an integrating speed loop
    does; it is blocked no further than ``WIND_UP_RAD``.
    """

    def __init__(self, joint: int, device_id: int) -> None:
        self.joint = joint
        self.device_id = device_id
        self.power = True
        self.goal_rad = 0.0
        self.turning_rad_s: float | None = None
        self.has_torque = False
        self.changed = True
        self.position_rad = 0.0
        self.velocity_rad_s = 0.0
        self.current_ma = 0.0
        self.watchdog_trips = 0

    @abstractmethod
    def hold(self) -> None:
        """Torque on, with the present position as the goal."""

    def aim_here(self) -> None:
        """Make the present position the goal."""
        self.move_to(self.position_rad)

    def restart(self) -> None:
        """Power lost and back: torque off, as at power-on."""
        self.power = True
        self.release()

    def move_to(self, goal_rad: float) -> None:
        """Take a goal."""
        self.turning_rad_s = None
        self.goal_rad = goal_rad
        self.changed = True

    def turn_at(self, velocity_rad_s: float) -> None:
        """Take a velocity to turn at; from the present position, unless it turns already."""
        if self.turning_rad_s is None or not self.has_torque:
            self.goal_rad = self.position_rad
        self.turning_rad_s = velocity_rad_s
        self.changed = True

    def turn(self, seconds: float) -> None:
        """Move the goal of a motor that turns on by so long."""
        if self.turning_rad_s is None or not self.has_torque:
            return
        goal_rad = self.goal_rad + self.turning_rad_s * seconds
        lowest, highest = self.position_rad - WIND_UP_RAD, self.position_rad + WIND_UP_RAD
        self.goal_rad = min(max(goal_rad, lowest), highest)
        self.changed = True

    def release(self) -> None:
        """Torque off."""
        self.has_torque = False
        self.changed = True

    def grip(self) -> None:
        """Torque on."""
        self.has_torque = True
        self.changed = True


class MotorPlant:
    """Carries goals from motors to joints and measurements from joints to motors."""

    def __init__(self, plant: Plant, motors: Sequence[Motor]) -> None:
        joints = len(plant.position_rad)
        if sorted(motor.joint for motor in motors) != list(range(joints)):
            raise ValueError(f"{len(motors)} motors do not drive the {joints} joints of the plant")
        self.plant = plant
        self.motors = sorted(motors, key=lambda motor: motor.joint)
        self._powered = [motor.power for motor in self.motors]
        self.publish()

    def step(self) -> None:
        """One step of the physics, with the goals that the motors have now."""
        self.aim(self.plant.timestep_s)
        self.plant.step(1)
        self.publish()

    def aim(self, seconds: float) -> None:
        """Hand the motors' goals to the plant, those that turn being further on by ``seconds``."""
        for motor in self.motors:
            motor.turn(seconds)
        powered = [motor.power for motor in self.motors]
        if powered != self._powered or any(motor.changed for motor in self.motors):
            self._powered = powered
            self._command()

    def _command(self) -> None:
        for motor in self.motors:
            motor.changed = False
        self.plant.set_torque(np.array([m.has_torque and m.power for m in self.motors]))
        self.plant.set_goal(np.array([motor.goal_rad for motor in self.motors]))

    def publish(self) -> None:
        """Hand the plant's measurements to the motors."""
        plant = self.plant
        measured = zip(
            self.motors,
            plant.position_rad.tolist(),
            plant.velocity_rad_s.tolist(),
            plant.current_ma.tolist(),
            strict=True,
        )
        for motor, position, velocity, current in measured:
            motor.position_rad, motor.velocity_rad_s = position, velocity
            motor.current_ma = current

    def settle(self) -> None:
        """Let each motor aim at where its joint stands: for an owner that moved the plant."""
        self.publish()
        for motor in self.motors:
            motor.aim_here()

    def hold(self) -> None:
        """Start with torque on in the present pose, as an arm that was left holding itself."""
        self.publish()
        for motor in self.motors:
            motor.hold()
