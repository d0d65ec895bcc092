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
from firmware_bridge.emulation.wire import Reply

MAX_LAG_NS = 100_000_000
TALK_NS = 10_000_000  # after the host's last word; shorter than the shortest watchdog, 20 ms
NS_PER_S = 1_000_000_000


class EmulatedRobot:
    """Steps ``plant`` against the monotonic clock and serves the servos on ``endpoint`` in between.

    While the host talks, nobody but its words and the owner can tell when a step was computed: the
    steps that are due then wait for either and are made in one go, before the words are heard or
    ``run_until`` returns. On a silent line each has its own wake-up, for a watchdog may trip.
    Physics that falls more than ``MAX_LAG_NS`` behind lets the lost time go instead of racing after
    it; ``slips`` and ``slipped_ns`` count that. Everything happens inside ``run_until``, so the
    owner may do other work (reset the plant, publish poses) between calls.
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
        self._talk_ns = 0  # until when the line does not count as silent
        self._measured = False
        self.bus.measure = self._measure

    def run_until(self, deadline_ns: int) -> None:
        """Run until the monotonic time ``deadline_ns``; the plant then is where it should be."""
        now_ns = time.monotonic_ns()
        while now_ns < deadline_ns:
            self.endpoint.service(now_ns, self)
            if now_ns >= self._talk_ns:
                self.catch_up(now_ns)
                self._measure()
                self._check_watchdogs(now_ns)
            self.endpoint.wait(min(deadline_ns, max(self._next_step_ns, self._talk_ns)))
            now_ns = time.monotonic_ns()
        self.catch_up(now_ns)

    def receive(self, data: bytes, now_ns: int) -> list[Reply]:
        """What the servos answer to bytes that have arrived now; see ``WireDevice``."""
        self.catch_up(now_ns)
        self._talk_ns = now_ns + TALK_NS
        return self.bus.receive(data, now_ns)

    def _check_watchdogs(self, now_ns: int) -> None:
        if self.endpoint.idle:  # bytes on the line are words of the host: no silence
            self.bus.check_watchdogs(now_ns)

    def catch_up(self, now_ns: int) -> None:
        """Make every step of the physics that is due, with the goals that the servos have."""
        lag_ns = now_ns - self._next_step_ns
        if lag_ns < 0:
            return
        if lag_ns > MAX_LAG_NS:
            self.slips += 1
            self.slipped_ns += lag_ns
            self._next_step_ns = now_ns
        if self.bus.changed:
            self.bus.changed = False
            self._coupling.command()
        count = 1 + (now_ns - self._next_step_ns) // self._step_ns
        self.plant.step(count)
        self.steps += count
        self._next_step_ns += count * self._step_ns
        self._measured = False

    def _measure(self) -> None:
        if not self._measured:
            self._measured = True
            self._coupling.publish()

    def settle(self) -> None:
        """Let each servo aim at where its joint stands: for an owner that moved the plant."""
        self._measured = False
        self._measure()
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
        self._torque: list[bool] | None = None
        self._directions: list[int] = []
        self._adjust_units()

    def _adjust_units(self) -> None:
        """A write may have reversed a servo."""
        directions = [servo.direction for servo in self._servos]
        if directions != self._directions:
            offsets_rad = [servo.mount.zero_offset_rad for servo in self._servos]
            self._directions = directions
            self._units = JointUnits(directions, offsets_rad)

    def command(self) -> None:
        """Hand goals and torque of the servos to the plant."""
        self._adjust_units()
        self._switch([servo.has_torque for servo in self._servos])
        goal_rad = self._units.position_rad([servo.goal_ticks for servo in self._servos])
        self._plant.set_goal(goal_rad[self._leaders])

    def _switch(self, torque: list[bool]) -> None:
        """Torque on and off where it has changed."""
        if torque == self._torque:
            return
        self._torque = torque
        has_torque = np.zeros(len(self._leaders), dtype=np.bool_)
        np.logical_or.at(has_torque, self._joints, torque)
        self._plant.set_torque(has_torque)

    def publish(self) -> None:
        """Hand the plant's measurements to the servos."""
        plant, joints = self._plant, self._joints
        state = self._units.state_units(
            plant.position_rad[joints], plant.velocity_rad_s[joints], plant.current_ma[joints]
        )
        for servo, shown in zip(self._servos, state.T.tolist(), strict=True):
            servo.publish(*shown)
