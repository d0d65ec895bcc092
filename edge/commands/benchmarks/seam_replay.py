"""Recorded chunks replayed at the servo's rate: switched raw, and as the runtime switches them.

Both see the same chunks arrive at the same moments and enter them at the index that is due. Before:
the newest chunk's reference is the command. After: the runtime's own ``Follower`` and
``SafetyFilter`` make the command of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.chunks import Chunk, Follower
from edge.commands.benchmarks.recorded_chunks import Recording
from edge.errors import RunError
from edge.rates import NS_PER_MS, period_ns
from edge.robot import Robot
from edge.safety import Limits, SafetyFilter, Stop
from firmware_bridge.messages import Float64Array

QUANTITIES = ("step_rad", "velocity_rad_s", "acceleration_rad_s2", "jerk_rad_s3")


@dataclass(frozen=True, slots=True)
class Replay:
    """One recording's commands at every tick, (ticks, joints), rad; seams are indices of ticks.

    ``before`` is switched raw; ``after`` is what the runtime would send. The first tick stands at
    the start, at rest.
    """

    recording: Recording
    period_s: float
    before: Float64Array
    after: Float64Array
    seams: tuple[int, ...]


def replay(recording: Recording, robot: Robot, arrival_ns: int) -> Replay:
    """Both replays of one recording; each chunk arrives so long after its observation."""
    tick_ns = period_ns(robot.servo.rate_hz)
    period_s = 1.0 / robot.servo.rate_hz
    arrivals = _arrivals(recording, arrival_ns, tick_ns)
    ticks = -(-recording.chunks[-1].end_ns // tick_ns)
    before, after = _Raw(recording.start_rad), _Runtime(recording.start_rad, robot, period_s)
    commands: list[tuple[Float64Array, Float64Array]] = [(recording.start_rad, recording.start_rad)]
    for tick in range(1, ticks + 1):
        now_ns, chunk = tick * tick_ns, arrivals.get(tick)
        commands.append((before.tick(now_ns, chunk), after.tick(now_ns, chunk)))
    raw, safe = (np.array(side) for side in zip(*commands, strict=True))
    return Replay(recording, period_s, raw, safe, tuple(arrivals)[1:])


def _arrivals(recording: Recording, arrival_ns: int, tick_ns: int) -> dict[int, Chunk]:
    """By the tick that finds it: the first one at or after the chunk's arrival."""
    return {
        max(1, -(-(chunk.observed_ns + arrival_ns) // tick_ns)): chunk for chunk in recording.chunks
    }


class _Raw:
    """The newest chunk's reference, switched at once, with no limits."""

    def __init__(self, start_rad: Float64Array) -> None:
        self._start = start_rad
        self._chunk: Chunk | None = None

    def tick(self, now_ns: int, arrived: Chunk | None) -> Float64Array:
        self._chunk = arrived or self._chunk
        return self._start if self._chunk is None else self._chunk.reference(now_ns).copy()


class _Runtime:
    """The runtime's seam: a cross-fade, then the safety filter."""

    def __init__(self, start_rad: Float64Array, robot: Robot, period_s: float) -> None:
        names = tuple(joint.name for joint in robot.joints)
        self._follower = Follower(round(robot.servo.blend_ms * NS_PER_MS))
        self._filter = SafetyFilter(names, Limits.of(robot), period_s)
        self._filter.engage(start_rad)

    def tick(self, now_ns: int, arrived: Chunk | None) -> Float64Array:
        if arrived is not None:
            self._follower.accept(arrived, now_ns)
        if self._follower.chunk is None:
            verdict = self._filter.decelerate(now_ns)
        else:
            reference = self._follower.reference(now_ns + self._filter.delay_ns)
            verdict = self._filter.track(reference, now_ns)
        if isinstance(verdict, Stop):
            raise RunError(f"a recorded chunk was refused: {verdict.reason}")
        return verdict.position_rad


def derivatives(commands: Float64Array, period_s: float) -> dict[str, Float64Array]:
    """Sizes of a command's change per tick and its derivatives, (ticks, joints) each, from rest.

    Differences of the samples themselves: what the motors are really sent.
    """
    rest = np.repeat(commands[:1], 3, axis=0)
    step = np.diff(np.vstack([rest, commands[1:]]), axis=0)
    velocity = step / period_s
    acceleration = np.diff(velocity, axis=0) / period_s
    jerk = np.diff(acceleration, axis=0) / period_s
    found = (step[2:], velocity[2:], acceleration[1:], jerk)
    return {name: np.abs(values) for name, values in zip(QUANTITIES, found, strict=True)}
