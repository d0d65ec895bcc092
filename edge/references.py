"""What the joints are to follow on each rung, at any time.

Chunks and the start posture are for the joints that take positions. Those that take velocities, a
base's wheels, follow its operator's velocities on the rung ``drive`` and come to rest on any other.
"""

from __future__ import annotations

import numpy as np

from edge.chunks import Follower, Ramp
from edge.drive import DriveReference
from edge.ladder import Rung
from edge.robot import Robot
from edge.sensing import planned_joints
from firmware_bridge.messages import Float64Array

HOME_TOLERANCE_RAD = 1e-3


class References:
    """Makes the reference of all joints, shape (joints,): rad, or rad/s where one takes velocities.

    ``follower`` holds the chunks; ``drive`` is needed by robots with joints that take velocities.
    """

    def __init__(self, robot: Robot, follower: Follower, drive: DriveReference | None) -> None:
        self._follower = follower
        self._drive = drive if robot.velocity_joints else None
        self._planned = planned_joints(robot)
        self._turning = np.array([robot.takes_velocity(joint) for joint in robot.joints])
        self._home_rad = np.array([joint.home_rad for joint in robot.position_joints])
        self._held_rad = self._home_rad
        self._ramp_velocity = robot.servo.ramp_velocity_rad_s
        self._ramp: Ramp | None = None

    def listen(self) -> None:
        """Take in what the base's operator says."""
        if self._drive is not None:
            self._drive.listen()

    def forget(self) -> None:
        """Another mode: ramps and velocities from before this moment count no more."""
        self._ramp = None
        if self._drive is not None:
            self._drive.forget()

    def begin(self, rung: Rung, position_rad: Float64Array, now_ns: int) -> None:
        """The robot comes to ``rung``, its command being ``position_rad``, shape (joints,)."""
        start_rad = position_rad[self._planned]
        if rung is Rung.RAMP:
            self._ramp = Ramp(start_rad, self._home_rad, self._ramp_velocity, now_ns)
        if rung is Rung.DRIVE:
            self._held_rad = start_rad.copy()

    def of(self, rung: Rung, now_ns: int, ahead_ns: int) -> Float64Array | None:
        """The reference on a rung; None where it follows nothing.

        Chunks are looked up ``ahead_ns`` ahead: by so much a setpoint lags behind its reference.
        """
        if rung is Rung.DRIVE:
            return self._of_all(self._held_rad, self._base_velocity_rad_s(now_ns))
        if rung is Rung.RAMP and self._ramp is not None:
            return self._of_all(self._ramp.reference(now_ns))
        if rung <= Rung.TAIL:
            return self._of_all(self._follower.reference(now_ns + ahead_ns))
        return None

    def standing(self, position_rad: Float64Array) -> Float64Array:
        """The reference of joints that stay at ``position_rad``, shape (joints,)."""
        return self._of_all(position_rad[self._planned].copy())

    def has_drive(self, now_ns: int) -> bool:
        """Whether fresh velocities for the base are there."""
        return self._base_velocity_rad_s(now_ns) is not None

    def at_home(self, position_rad: Float64Array, now_ns: int) -> bool:
        """Whether the way to the start posture is over and has led there."""
        if self._ramp is None or not self._ramp.finished(now_ns):
            return False
        off_rad = np.abs(position_rad[self._planned] - self._home_rad).max()
        return bool(off_rad < HOME_TOLERANCE_RAD)

    def _base_velocity_rad_s(self, now_ns: int) -> Float64Array | None:
        return None if self._drive is None else self._drive.velocity_rad_s(now_ns)

    def _of_all(
        self, planned_rad: Float64Array, base_rad_s: Float64Array | None = None
    ) -> Float64Array:
        """The reference of all joints: no velocity where none is given."""
        if self._drive is None:
            return planned_rad
        reference = np.zeros(len(self._turning))
        reference[self._planned] = planned_rad
        if base_rad_s is not None:
            reference[self._turning] = base_rad_s
        return reference
