"""Emulated motors on a CAN bus and the physics they move, in one real-time loop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from firmware_bridge.can_bus.client import BusClient, BusOffError, QueueFullError
from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.emulation.can_motor import CanMotor
from firmware_bridge.emulation.motor import MotorPlant
from firmware_bridge.emulation.plant import Plant
from firmware_bridge.emulation.plant_clock import PlantClock

REACTION_NS = 20_000  # from the end of a question to an answer ready to be sent


class EmulatedCanRobot:
    """Serves ``motors`` on a simulated bus and steps ``plant`` against the monotonic clock.

    All motors share one controller on the bus (and so its error counters). ``tamper`` gets each
    answer before it is sent and returns what is sent in its place (None: nothing): the door for
    faults of the devices; faults of the wire belong to the bus.
    """

    def __init__(self, plant: Plant, motors: Sequence[CanMotor], client: BusClient) -> None:
        self.motion = MotorPlant(plant, motors)
        self.motors = list(motors)
        self.client = client
        self.tamper: Callable[[CanFrame], CanFrame | None] | None = None
        self.lost = 0  # answers that the bus did not take
        self.clock = PlantClock(plant.timestep_s)

    def run_until(self, deadline_ns: int) -> None:
        """Run until the monotonic time ``deadline_ns``."""
        while time.monotonic_ns() < deadline_ns:
            self.run_once(deadline_ns)

    def run_once(self, deadline_ns: int) -> None:
        """Answer what is asked until the next step of the physics, and step what is due."""
        self._serve(min(deadline_ns, self.clock.next_step_ns))
        for _ in self.clock.due(time.monotonic_ns()):
            self.motion.step()
            self._serve(0)

    def _serve(self, until_ns: int) -> None:
        while (item := self.client.receive(until_ns)) is not None:
            if isinstance(item, CanFrame):
                for motor in self.motors:
                    self._send(motor.hear(item), item.stamp_ns + REACTION_NS)
        now_ns = time.monotonic_ns()
        for motor in self.motors:
            self._send(motor.tick(now_ns), now_ns)

    def _send(self, frames: list[CanFrame], ready_ns: int) -> None:
        for frame in frames:
            said = frame if self.tamper is None else self.tamper(frame)
            if said is None:
                continue
            try:
                self.client.send(said, ready_ns)
            except (QueueFullError, BusOffError):
                self.lost += 1

    def close(self) -> None:
        """Leave the bus."""
        with contextlib.suppress(OSError):
            self.client.close()
