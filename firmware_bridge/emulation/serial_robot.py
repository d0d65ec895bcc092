"""Emulated servos on a paced line and the physics they move, in one real-time loop."""

from __future__ import annotations

import time
from collections.abc import Sequence

from firmware_bridge.emulation.motor import Motor, MotorPlant
from firmware_bridge.emulation.paced_pty import PacedPty
from firmware_bridge.emulation.plant import Plant
from firmware_bridge.emulation.plant_clock import PlantClock
from firmware_bridge.emulation.wire import WireDevice


class EmulatedSerialRobot:
    """Serves the chain ``device`` of ``motors`` on ``endpoint`` and steps ``plant``."""

    def __init__(
        self, plant: Plant, motors: Sequence[Motor], device: WireDevice, endpoint: PacedPty
    ) -> None:
        self.motion = MotorPlant(plant, motors)
        self.device = device
        self.endpoint = endpoint
        self.clock = PlantClock(plant.timestep_s)

    @property
    def slipped_ns(self) -> int:
        """Time of the plant that was let go, see ``PlantClock``."""
        return self.clock.slipped_ns

    def run_until(self, deadline_ns: int) -> None:
        """Run until the monotonic time ``deadline_ns``."""
        while time.monotonic_ns() < deadline_ns:
            self.run_once(deadline_ns)

    def run_once(self, deadline_ns: int) -> None:
        """Serve the line, step the physics that is due, and sleep until the next thing to do."""
        self._serve()
        for _ in self.clock.due(time.monotonic_ns()):
            self.motion.step()
            self._serve()
        self.endpoint.wait(min(deadline_ns, self.clock.next_step_ns))

    def _serve(self) -> None:
        self.endpoint.service(time.monotonic_ns(), self.device)

    def close(self) -> None:
        """Pull the cable."""
        self.endpoint.close()
