"""Emulated servos, their line and the physics they move, in one real-time loop."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from firmware_bridge.dynamixel.registers import Register
from firmware_bridge.dynamixel.units import JointUnits
from firmware_bridge.emulation.dynamixel_bus import EmulatedDynamixelBus
from firmware_bridge.emulation.dynamixel_servo import DynamixelServo
from firmware_bridge.emulation.paced_pty import PacedPty
from firmware_bridge.emulation.plant import Plant

MAX_LAG_NS = 100_000_000
NS_PER_S = 1_000_000_000


class EmulatedRobot:
    """Steps ``plant`` against the monotonic clock and serves the servos on ``endpoint`` in between.

    Physics that falls more than ``MAX_LAG_NS`` behind lets the lost time go instead of racing after
    it; ``slips`` and ``slipped_ns`` count that. Everything happens inside ``run_once`` and
    ``run_until``, so the owner may do other work (reset the plant, publish poses) between calls.
    """

    def __init__(self, plant: Plant, servos: Sequence[DynamixelServo], endpoint: PacedPty) -> None:
        self.plant = plant
        self.endpoint = endpoint
        self.bus = EmulatedDynamixelBus(servos)
        self.slips = 0
        self.slipped_ns = 0
        self.steps = 0
        self._coupling = ServoCoupling(plant, servos)
        self._step_ns = round(plant.timestep_s * NS_PER_S)
        self._next_step_ns = time.monotonic_ns()
        self._coupling.publish()

    def run_until(self, deadline_ns: int) -> None:
        """Run until the monotonic time ``deadline_ns``."""
        while time.monotonic_ns() < deadline_ns:
            self.run_once(deadline_ns)

    def run_once(self, deadline_ns: int) -> None:
        """Serve the line, step the physics that is due, and sleep until the next thing to do."""
        self._serve()
        self._catch_up(time.monotonic_ns())
        self.endpoint.wait(min(deadline_ns, self._next_step_ns))

    def _serve(self) -> None:
        now_ns = time.monotonic_ns()
        self.endpoint.service(now_ns, self.bus)
        if self.endpoint.idle:  # bytes on the line are words of the host: no silence
            self.bus.check_watchdogs(now_ns)

    def _catch_up(self, now_ns: int) -> None:
        lag_ns = now_ns - self._next_step_ns
        if lag_ns > MAX_LAG_NS:
            self.slips += 1
            self.slipped_ns += lag_ns
            self._next_step_ns = now_ns
        while self._next_step_ns <= now_ns:
            self._step()
            self._serve()

    def _step(self) -> None:
        if self.bus.changed:
            self.bus.changed = False
            self._coupling.command()
        self.plant.step(1)
        self._coupling.publish()
        self.steps += 1
        self._next_step_ns += self._step_ns

    def settle(self) -> None:
        """Let each servo aim at where its joint stands: for an owner that moved the plant."""
        self._coupling.publish()
        for servo in self.bus.servos:
            servo.aim_here()
        self.bus.changed = True

    def hold(self) -> None:
        """Start with torque on in the present pose, as an arm that was left holding itself."""
        for servo in self.bus.servos:
            servo.table[Register.TORQUE_ENABLE] = 1
        self.settle()


class ServoCoupling:
    """Carries goals from servos to joints and measurements from joints to servos.

    Of several servos on a joint the first gives the goal; the joint holds if any of them has
    torque.
    """

    def __init__(self, plant: Plant, servos: Sequence[DynamixelServo]) -> None:
        self._plant = plant
        self._servos = list(servos)
        self._joints = np.array([servo.mount.joint for servo in servos])
        joints = len(plant.position_rad)
        first = {servo.mount.joint: i for i, servo in reversed(list(enumerate(servos)))}
        if sorted(first) != list(range(joints)):
            raise ValueError(f"servos drive joints {sorted(first)}, the plant has {joints}")
        self._leaders = np.array([first[joint] for joint in range(joints)])
        self._has_torque = np.zeros(joints, dtype=np.bool_)

        self._units = self._make_units()

    def _make_units(self) -> JointUnits:
        return JointUnits(
            [servo.direction for servo in self._servos],
            [servo.mount.zero_offset_rad for servo in self._servos],
        )

    def command(self) -> None:
        """Hand goals and torque of the servos to the plant."""
        self._units = self._make_units()  # a write may have reversed a servo
        goal_rad = self._units.position_rad([servo.goal_ticks for servo in self._servos])
        torque = np.array([servo.has_torque for servo in self._servos])
        self._has_torque[:] = False
        np.logical_or.at(self._has_torque, self._joints, torque)
        self._plant.set_torque(self._has_torque)
        self._plant.set_goal(goal_rad[self._leaders])

    def publish(self) -> None:
        """Hand the plant's measurements to the servos."""
        plant, joints, units = self._plant, self._joints, self._units
        position = units.position_ticks(plant.position_rad[joints]).tolist()
        velocity = units.velocity_units(plant.velocity_rad_s[joints]).tolist()
        current = units.current_units(plant.current_ma[joints]).tolist()
        for servo, measured in zip(
            self._servos, zip(position, velocity, current, strict=True), strict=True
        ):
            servo.publish(*measured)
