"""What the servo's own computing costs: the real loop on a bus that answers at once.

Nothing moves and nobody is waited for: the bus stands where it was told to, an operator homes it
and lets the policy go on, and every request for a plan is answered at once with a chunk that stays
at home. What a tick then takes is everything but the bus.
"""

from __future__ import annotations

import socket
import time

import numpy as np

from edge.bundle import COMMAND_KEY, Manifest
from edge.engaging import AtOnce
from edge.errors import RunError
from edge.ladder import Mode
from edge.records import CONTROL, Channels, chunk_dtype
from edge.robot import Robot
from edge.schedulability import Int64Array
from edge.sensing import STATE_KEY
from edge.servo_process import assemble, open_trackers
from edge.session import Bell, Session
from edge.tracker import encode
from firmware_bridge.messages import Float64Array, JointState, SafeSetpoint

HOME_TICKS = 400  # more than enough to find oneself at home
LEAST_TICKS = 100


class StillBus:
    """A ``JointBus`` without a wire: what it is told is where it is."""

    def __init__(self, position_rad: Float64Array) -> None:
        self._position_rad = position_rad
        self._zeros = np.zeros_like(position_rad)

    def open(self) -> None:
        """Nothing to open."""

    def read_state(self) -> JointState:
        """Where it is, now."""
        return JointState(time.monotonic_ns(), self._position_rad, self._zeros, self._zeros)

    def write_setpoints(self, setpoint: SafeSetpoint) -> None:
        """Be there."""
        self._position_rad = setpoint.position_rad

    def enable(self) -> None:
        """No torque to put on."""

    def disable(self) -> None:
        """No torque to take off."""

    def close(self) -> None:
        """Nothing to close."""


class Rehearsal:
    """One servo in this process, with all that it talks to, in the session's (empty) directory."""

    def __init__(self, session: Session, manifest: Manifest) -> None:
        self._robot = session.robot
        self._channels = Channels.open(session, manifest, create=True)
        Bell(session.file("bell"), create=True)
        self._trackers = open_trackers(session.robot, manifest)
        self._home_rad = np.array([joint.home_rad for joint in session.robot.position_joints])
        stand_rad = np.array([joint.home_rad or 0.0 for joint in session.robot.joints])
        bus = StillBus(stand_rad)
        self._servo = assemble(session, manifest, bus, AtOnce(bus.enable), self._trackers)
        self._poses = _poses(session.robot, manifest)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._control = np.zeros((), CONTROL)
        self._chunk = np.zeros((), chunk_dtype(manifest))
        self._chunk["prefix"] = manifest.tokenizer.tokens
        self._chunk["valid"] = manifest.action.action_horizon
        self._chunk["actions"] = self._home_rad

    def close(self) -> None:
        """Close the sockets."""
        self._socket.close()
        for tracker in self._trackers:
            tracker.close()

    def run(self, seconds: float) -> Int64Array:
        """Compute time of each tick under the policy, ns, shape (ticks,).

        Raises RunError if the servo did not come to follow the policy.
        """
        for _ in range(HOME_TICKS):
            self._tick(Mode.HOME)
            if self._channels.ticks.drain()[-1]["at_home"]:
                break
        for _ in range(max(LEAST_TICKS, round(seconds * self._robot.servo.rate_hz))):
            self._tick(Mode.POLICY)
        ticks = [tick for tick in self._channels.ticks.drain() if tick["plan"] and tick["sent"]]
        if not ticks:
            raise RunError("the servo did not follow the policy in its rehearsal")
        return np.array([tick["read_ns"] + tick["decide_ns"] + tick["write_ns"] for tick in ticks])

    def _tick(self, mode: Mode) -> None:
        self._feed(mode)
        self._servo.tick()
        request = self._channels.request.take()
        if request is not None and request["plan"]:
            for name in ("plan", "epoch", "observed_ns"):
                self._chunk[name] = request[name]
            self._channels.chunk.post(self._chunk)

    def _feed(self, mode: Mode) -> None:
        """The operator's lease, and a sample from every tracker."""
        now_ns = time.monotonic_ns()
        self._control["mode"] = mode
        self._control["heartbeat_ns"] = now_ns
        self._channels.control.post(self._control)
        for path, values in self._poses:
            self._socket.sendto(encode(now_ns, values), path)


def _poses(robot: Robot, manifest: Manifest) -> list[tuple[str, np.ndarray]]:
    return [
        (robot.trackers[feature.key].socket, np.zeros(feature.size, np.float32))
        for feature in manifest.observation
        if feature.key not in (STATE_KEY, COMMAND_KEY)
    ]
