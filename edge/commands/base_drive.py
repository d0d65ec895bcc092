"""Who drives the base during a run: hears where it is, and tells the servo what its wheels do."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from edge.docking import Docking, FromDock
from edge.rates import NS_PER_MS
from edge.records import drive_dtype
from edge.robot import Robot
from edge.robot_base import Base
from edge.shared_memory import Mailbox
from edge.tracker import TrackerSocket
from firmware_bridge.messages import Float64Array

TURNS_RAD = 0.25  # how far it may be turned when it has come away


class BaseDriver:
    """The driver of one run. Close it after use: it owns the socket of the base's pose.

    It says nothing while the pose is missing, stale or not finite: the servo then stops the base.
    """

    def __init__(self, robot: Robot, base: Base, drive: Mailbox, seed: int) -> None:
        tracker = robot.trackers[base.pose]
        self._tracker = TrackerSocket(base.pose, Path(tracker.socket), 3)
        self._max_age_ns = round(tracker.max_age_ms * NS_PER_MS)
        self._docking = Docking(base)
        self._drive = drive
        self._record = np.zeros((), drive_dtype(len(robot.velocity_joints)))
        names = [joint.name for joint in robot.velocity_joints]
        self._order = [names.index(base.left_wheel), names.index(base.right_wheel)]
        self._random = np.random.default_rng(seed)
        self._heading_rad = 0.0

    def seen(self) -> FromDock | None:
        """Where the base is, if that is known now."""
        sample = self._tracker.poll()
        now_ns = time.monotonic_ns()
        if sample is None or abs(now_ns - sample.stamp_ns) > self._max_age_ns:
            return None
        pose = sample.values.astype(np.float64)
        return self._docking.seen(pose) if np.isfinite(pose).all() else None

    def begin_retreat(self) -> None:
        """Choose where to come away to."""
        self._heading_rad = float(self._random.uniform(-TURNS_RAD, TURNS_RAD))

    def retreat(self) -> bool:
        """One more word on the way out; True once it is far enough."""
        seen = self.seen()
        if seen is None or seen.away:
            return seen is not None
        self._say(self._docking.retreat(seen, self._heading_rad))
        return False

    def approach(self) -> bool:
        """One more word on the way in; True once it is as far as it shall go."""
        seen = self.seen()
        if seen is None or seen.arrived:
            return seen is not None
        self._say(self._docking.approach(seen))
        return False

    def describe(self) -> str:
        """Where the base is, in words, and whether that is where it should be."""
        seen = self.seen()
        if seen is None:
            return "nobody knows where"
        where = (
            f"{seen.ahead_m * 1000:.0f} mm short, {seen.left_m * 1000:.0f} mm to the left, turned "
            f"by {seen.heading_rad:.3f} rad"
        )
        return where if seen.docked else f"badly: {where}"

    def _say(self, wheels_rad_s: Float64Array) -> None:
        self._record["velocity_rad_s"][self._order] = wheels_rad_s
        self._record["stamp_ns"] = time.monotonic_ns()
        self._drive.post(self._record)

    def close(self) -> None:
        """Close the socket."""
        self._tracker.close()
