"""What each bus of a run cost per tick, and how often it brought nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge.rates import NS_PER_US
from edge.shared_memory import Record

BIN_US = 5
BINS = 4000  # up to 20 ms; whatever took longer counts as that


class BusFigures:
    """Counts over a run in memory that does not grow: times to 5 µs, numbers exactly."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._counts = np.zeros((len(names), BINS), np.int64)
        self._misses = np.zeros(len(names), np.int64)
        self._ticks = 0

    def add(self, tick: Record) -> None:
        """Count one tick."""
        self._ticks += 1
        for index in range(len(self._names)):
            bin_ = int(tick["bus_ns"][index]) // (BIN_US * NS_PER_US)
            self._counts[index, min(bin_, BINS - 1)] += 1
            self._misses[index] += int(tick["bus_missed"][index])

    def summary(self) -> dict[str, Any]:
        """By bus: reading and writing together, and the ticks without a reading of it."""
        return {
            name: {
                "cycles": self._ticks,
                "cycle_p50_us": self._quantile(index, 0.5),
                "cycle_p99_us": self._quantile(index, 0.99),
                "misses": int(self._misses[index]),
            }
            for index, name in enumerate(self._names)
        }

    def _quantile(self, index: int, share: float) -> float | None:
        if not self._ticks:
            return None
        reached = np.cumsum(self._counts[index]) >= share * self._ticks
        return float((int(np.argmax(reached)) + 1) * BIN_US)
