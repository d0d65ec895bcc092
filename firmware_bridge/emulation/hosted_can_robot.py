"""Emulated motors, the simulated CAN bus they hang on and the physics they move, in one loop."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence

from firmware_bridge.can_bus.bit_time import BitRates
from firmware_bridge.emulation.can_motor import CanMotor
from firmware_bridge.emulation.hosted_can import HostedCan
from firmware_bridge.emulation.motor import MotorPlant
from firmware_bridge.emulation.paced_pty import SPIN_NS
from firmware_bridge.emulation.plant import Plant
from firmware_bridge.emulation.plant_clock import PlantClock

NS_PER_S = 1_000_000_000


class HostedCanRobot:
    """Is the bus of ``channel`` and steps ``plant`` against the monotonic clock.

    Motors hear and answer without a message between processes, as quick as real ones; the bus goes
    when this does, whoever else has joined it. Raises ``PortError`` where the channel has a bus.
    """

    def __init__(
        self, plant: Plant, motors: Sequence[CanMotor], channel: str, rates: BitRates
    ) -> None:
        self.motion = MotorPlant(plant, motors)
        self.motors = list(motors)
        self.channel = channel
        self.clock = PlantClock(plant.timestep_s)
        self._can = HostedCan(channel, rates, motors, self._step)

    def run_until(self, deadline_ns: int) -> None:
        """Run until the monotonic time ``deadline_ns``."""
        while (now_ns := time.monotonic_ns()) < deadline_ns:
            self._can.serve(now_ns)
            self._step(now_ns)
            self._wait(min(deadline_ns, self.clock.next_step_ns), self._can.next_due_ns())

    def _step(self, now_ns: int) -> None:
        """Make the steps of the physics that are due."""
        for _ in self.clock.due(now_ns):
            self.motion.step()

    def _wait(self, until_ns: int, due_ns: int) -> None:
        """Sleep until a client says something, a frame ends (``due_ns``), or ``until_ns``.

        The last ``SPIN_NS`` before a frame ends are spun: waking up would deliver it late.
        """
        timeout_s = (min(until_ns, due_ns - SPIN_NS) - time.monotonic_ns()) / NS_PER_S
        if timeout_s > 0:
            select.select(self._can.filenos(), (), (), timeout_s)
        elif due_ns <= until_ns:
            while time.monotonic_ns() < due_ns:
                pass

    def close(self) -> None:
        """Hang up on everybody."""
        self._can.close()
