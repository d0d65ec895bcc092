"""From the bus and the trackers to observations: reading, history, and what makes one unusable."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edge.bundle import COMMAND_KEY, Manifest
from edge.rates import NS_PER_MS
from edge.reading import Reader, Reading
from edge.robot import Robot
from edge.safety import Stop
from edge.shared_memory import Record
from edge.tracker import Float32Array, TrackerSocket
from firmware_bridge.messages import Float64Array

STATE_KEY = "observation.state"


class History:
    """The observation steps of the last moments, one sample a servo tick, newest last.

    ``steps`` samples are picked ``stride`` ticks apart, so that they are one policy step apart.
    """

    def __init__(self, size: int, steps: int, stride: int) -> None:
        self._samples = np.full(((steps - 1) * stride + 1, size), np.nan, np.float32)
        self._stride = stride

    def push(self, sample: Float64Array | Float32Array) -> None:
        """Add the sample of this tick, shape (size,)."""
        self._samples[:-1] = self._samples[1:]
        self._samples[-1] = sample

    def write(self, into: Float32Array) -> None:
        """Copy the observation steps, shape (steps, size)."""
        into[:] = self._samples[:: self._stride]


def planned_joints(robot: Robot) -> slice | npt.NDArray[np.intp]:
    """Index of the joints that a policy acts on, among all: those that take positions."""
    if not robot.velocity_joints:
        return slice(None)
    taken = [not robot.takes_velocity(joint) for joint in robot.joints]
    return np.flatnonzero(taken)


class Sensing:
    """Keeps the observation features current and says when they cannot be planned from."""

    def __init__(
        self, robot: Robot, manifest: Manifest, joints: Reader, trackers: list[TrackerSocket]
    ) -> None:
        """``trackers`` deliver the features that are neither joint state nor command."""
        stride = round(robot.servo.rate_hz / manifest.action.rate_hz)
        self._joints = joints
        self._planned = planned_joints(robot)
        self._trackers = trackers
        self._max_age_ns = round(robot.servo.max_observation_age_ms * NS_PER_MS)
        self._tracker_age_ns = [
            round(robot.trackers[tracker.key].max_age_ms * NS_PER_MS) for tracker in trackers
        ]
        self._history = {
            feature.key: History(feature.size, manifest.n_obs_steps, stride)
            for feature in manifest.observation
        }

    def read(self) -> Reading:
        """Read the joints, then whatever the trackers have sent meanwhile."""
        reading = self._joints.read()
        for tracker in self._trackers:
            tracker.poll()
        return reading

    def update(self, reading: Reading, command_rad: Float64Array, now_ns: int) -> Stop | None:
        """Take in this tick's samples; a Stop names what is missing, stale or not finite."""
        state = reading.state
        if state is None:
            return Stop(f"no joint state yet: {reading.fault}")
        self._history[STATE_KEY].push(state.position_rad[self._planned])
        if COMMAND_KEY in self._history:
            self._history[COMMAND_KEY].push(command_rad[self._planned])
        age_ns = now_ns - state.stamp_ns
        if age_ns > self._max_age_ns:
            stale = f"joint state is {age_ns / NS_PER_MS:.0f} ms old"
            return Stop(f"{stale}: {reading.fault}" if reading.fault else stale)
        return self._non_finite(STATE_KEY, state.position_rad) or self._track(now_ns)

    def _track(self, now_ns: int) -> Stop | None:
        stop = None
        for tracker, max_age_ns in zip(self._trackers, self._tracker_age_ns, strict=True):
            sample = tracker.latest
            if sample is None:
                stop = stop or Stop(f"{tracker.key}: nothing received yet")
                continue
            self._history[tracker.key].push(sample.values)
            age_ns = now_ns - sample.stamp_ns
            if age_ns > max_age_ns:
                stop = stop or Stop(f"{tracker.key} is {age_ns / NS_PER_MS:.0f} ms old")
            if age_ns < -max_age_ns:  # of another clock: it would never grow stale
                stop = stop or Stop(f"{tracker.key} is {-age_ns / NS_PER_MS:.0f} ms ahead of time")
            stop = stop or self._non_finite(tracker.key, sample.values)
        return stop

    def write_features(self, into: Record) -> Stop | None:
        """Fill a request's features; a Stop if the history holds a value that is not finite."""
        stop = None
        for key, history in self._history.items():
            history.write(into[key])
            stop = stop or self._non_finite(key, into[key])
        return stop

    @staticmethod
    def _non_finite(key: str, values: Float64Array | Float32Array) -> Stop | None:
        if math.isfinite(values.sum()):  # one pass: no element can hide in a finite sum
            return None
        finite = np.isfinite(values)
        if finite.all():
            return None
        index = np.unravel_index(int(np.argmin(finite)), values.shape)
        where = "".join(f"[{int(part)}]" for part in index)
        return Stop(f"{key}{where} is {values[index]}")
