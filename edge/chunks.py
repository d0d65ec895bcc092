"""Chunks as motions over time, and the seam where one takes over from another.

A chunk belongs to the time ``observed_ns`` of its observation: its reference starts there at the
command of that moment and passes action i at ``observed_ns + (i + 1) · step_ns``, linear between.
So a chunk that comes late is entered at the index that is due now, never at its start. Only where
nothing moved meanwhile is no index due: from rest a chunk begins at its start, ``waited_ns`` later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from firmware_bridge.messages import Float64Array


@dataclass(frozen=True, slots=True)
class Chunk:
    """A decoded plan. ``knots_rad``, shape (1 + actions, joints): its start, then its actions.

    ``waited_ns``: how long after its observation it was begun; 0 for one that is entered in motion.
    """

    plan: int
    observed_ns: int
    step_ns: int
    prefix: int
    knots_rad: Float64Array
    waited_ns: int = 0

    @property
    def begin_ns(self) -> int:
        """When its start is due."""
        return self.observed_ns + self.waited_ns

    @property
    def end_ns(self) -> int:
        """When its last action is reached."""
        return self.begin_ns + (len(self.knots_rad) - 1) * self.step_ns

    @property
    def middle_ns(self) -> int:
        """When half of it is over."""
        return (self.begin_ns + self.end_ns) // 2

    def reference(self, now_ns: int) -> Float64Array:
        """The reference at a time, shape (joints,); the last action after the end."""
        elapsed = now_ns - self.begin_ns
        index, rest = divmod(max(elapsed, 0), self.step_ns)
        if index >= len(self.knots_rad) - 1:
            last: Float64Array = self.knots_rad[-1]
            return last
        weight = rest / self.step_ns
        blend: Float64Array = (
            self.knots_rad[index] * (1.0 - weight) + self.knots_rad[index + 1] * weight
        )
        return blend


class Follower:
    """Follows the newest chunk, cross-fading from what it followed before over ``blend_ns``.

    That may be a fade itself: however fast chunks come, no reference jumps.
    """

    def __init__(self, blend_ns: int) -> None:
        self._blend_ns = blend_ns
        self._fades: list[tuple[Chunk, int]] = []  # each fades in over those before, from a time

    @property
    def chunk(self) -> Chunk | None:
        """The newest chunk that is followed."""
        return self._fades[-1][0] if self._fades else None

    def accept(self, chunk: Chunk, now_ns: int) -> None:
        """Take over to ``chunk`` now.

        From rest it begins now; another decode of the followed plan keeps to that plan's time. A
        longer decode of the same tokens goes on where the shorter one was. A chunk that is half
        over and would end before the followed one does is passed over: a longer decode of it is
        about to come.
        """
        followed = self.chunk
        if followed is None:
            begun = replace(chunk, waited_ns=max(0, now_ns - chunk.observed_ns))
            self._fades = [(begun, now_ns)]
        elif followed.plan == chunk.plan:
            self._refine(replace(chunk, waited_ns=followed.waited_ns), now_ns)
        elif now_ns < chunk.middle_ns or chunk.end_ns + chunk.step_ns >= followed.end_ns:
            self._fade_in(chunk, now_ns)

    def _refine(self, chunk: Chunk, now_ns: int) -> None:
        followed, switched_ns = self._fades[-1]
        if followed.prefix == chunk.prefix:
            self._fades[-1] = (chunk, switched_ns)
        else:
            self._fade_in(chunk, now_ns)

    def _fade_in(self, chunk: Chunk, now_ns: int) -> None:
        """Fade in over all that is followed, and drop what newer chunks have wholly replaced."""
        faded = [
            index
            for index, (_, switched_ns) in enumerate(self._fades)
            if self._weight(switched_ns, now_ns) >= 1.0
        ]
        self._fades = [*self._fades[max(faded, default=0) :], (chunk, now_ns)]

    def clear(self) -> None:
        """Follow nothing."""
        self._fades.clear()

    def has_reference(self, now_ns: int) -> bool:
        """Whether the followed chunk still has actions ahead."""
        return self.chunk is not None and now_ns < self.chunk.end_ns

    def reference(self, now_ns: int) -> Float64Array:
        """The blended reference at a time, shape (joints,). Raises RuntimeError with no chunk."""
        if not self._fades:
            raise RuntimeError("no chunk to follow")
        reference = self._fades[0][0].reference(now_ns)
        for chunk, switched_ns in self._fades[1:]:
            weight = self._weight(switched_ns, now_ns)
            reference = reference * (1.0 - weight) + chunk.reference(now_ns) * weight
        return reference

    def _weight(self, switched_ns: int, now_ns: int) -> float:
        faded = (now_ns - switched_ns) / self._blend_ns if self._blend_ns else 1.0
        return smoothstep(min(faded, 1.0))


class Ramp:
    """A minimum-jerk motion from rest to rest (Flash and Hogan 1985), bounded in velocity."""

    _PEAK = 1.875  # peak velocity of the minimum-jerk profile over its mean
    _SHORTEST_S = 0.3  # so that a short way asks for no more acceleration than a long one

    def __init__(
        self, start_rad: Float64Array, goal_rad: Float64Array, velocity_rad_s: float, start_ns: int
    ) -> None:
        self._start = start_rad.copy()
        self._travel = goal_rad - start_rad
        self._start_ns = start_ns
        longest = float(np.abs(self._travel).max())
        needed_s = self._PEAK * longest / velocity_rad_s
        self._duration_ns = round(max(self._SHORTEST_S, needed_s) * 1e9) if longest else 1

    def reference(self, now_ns: int) -> Float64Array:
        """The reference at a time, shape (joints,)."""
        x = min(1.0, (now_ns - self._start_ns) / self._duration_ns)
        reference: Float64Array = self._start + self._travel * minimum_jerk(x)
        return reference

    def finished(self, now_ns: int) -> bool:
        """Whether the goal is reached."""
        return now_ns - self._start_ns >= self._duration_ns


def minimum_jerk(x: float) -> float:
    """10x³ − 15x⁴ + 6x⁵ on [0, 1]: 0 to 1 with no velocity or acceleration at the ends."""
    return x * x * x * (10.0 + x * (6.0 * x - 15.0))


def smoothstep(x: float) -> float:
    """3x² − 2x³ on [0, 1]: 0 to 1 with level ends."""
    return x * x * (3.0 - 2.0 * x)
