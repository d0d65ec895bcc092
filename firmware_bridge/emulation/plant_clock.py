"""Real time for a plant that is stepped in a loop with other work."""

from __future__ import annotations

import time
from collections.abc import Iterator

MAX_LAG_NS = 100_000_000
NS_PER_S = 1_000_000_000


class PlantClock:
    """Says which steps are due.

    A loop that falls more than ``MAX_LAG_NS`` behind lets the lost time go instead of racing after
    it; ``slips`` and ``slipped_ns`` count that.
    """

    def __init__(self, timestep_s: float) -> None:
        self.steps = 0
        self.slips = 0
        self.slipped_ns = 0
        self.next_step_ns = time.monotonic_ns()
        self._step_ns = round(timestep_s * NS_PER_S)

    def due(self, now_ns: int) -> Iterator[int]:
        """Yield once for each step that is due at ``now_ns``."""
        lag_ns = now_ns - self.next_step_ns
        if lag_ns > MAX_LAG_NS:
            self.slips += 1
            self.slipped_ns += lag_ns
            self.next_step_ns = now_ns
        while self.next_step_ns <= now_ns:
            self.steps += 1
            self.next_step_ns += self._step_ns
            yield self.steps
