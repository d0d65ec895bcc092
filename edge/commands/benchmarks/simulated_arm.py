"""The plant as a bus and a tracker in simulated time: reads and writes take none of it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np

from edge.rates import NS_PER_S, TRACKER_HZ, period_ns
from edge.tracker import encode
from firmware_bridge.bus import checked_position_rad
from firmware_bridge.messages import JointState, SafeSetpoint


class SimulatedArm:
    """A ``JointBus`` on a ``models.tasks`` plant, at ``now_ns``; torque is on from the start."""

    def __init__(self, plant: Any, now_ns: int) -> None:
        self.now_ns = now_ns
        self._plant = plant
        self._step_ns = round(plant.timestep_s * NS_PER_S)
        self._simulated_ns = now_ns

    def advance(self, now_ns: int) -> None:
        """Let the physics run up to a time, in whole steps of its own."""
        steps = (now_ns - self._simulated_ns) // self._step_ns
        self._plant.step(steps)
        self._simulated_ns += steps * self._step_ns
        self.now_ns = now_ns

    def open(self) -> None:
        """Nothing to open."""

    def read_state(self) -> JointState:
        """The joints as they are now."""
        plant = self._plant
        return JointState(self.now_ns, plant.position_rad, plant.velocity_rad_s, plant.current_ma)

    def write_setpoints(self, setpoint: SafeSetpoint) -> None:
        """New goals; the plant's servos follow them as theirs do."""
        self._plant.set_goal(checked_position_rad(setpoint, len(setpoint.position_rad)))

    def enable(self) -> None:
        """Each goal to the measured position."""
        self._plant.set_goal(self._plant.position_rad)

    def disable(self) -> None:
        """Nothing here switches torque off."""

    def close(self) -> None:
        """Nothing to close."""


class SimulatedTracker:
    """Sends the scene's state to a tracker's socket, as the plant process does, at its rate."""

    def __init__(self, plant: Any, path: Path, now_ns: int) -> None:
        self._plant = plant
        self._path = str(path)
        self._next_ns = now_ns
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def advance(self, now_ns: int) -> None:
        """Send a sample if one is due."""
        if now_ns < self._next_ns:
            return
        scene = np.asarray(self._plant.environment_state, np.float32)
        self._socket.sendto(encode(now_ns, scene), self._path)
        self._next_ns += period_ns(TRACKER_HZ)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()
