"""What each bus of a run cost per tick, and how often it brought nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge.histogram import Histogram
from edge.rates import NS_PER_US
from edge.shared_memory import Records


class BusFigures:
    """Counts over a run in memory that does not grow."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._times = [Histogram() for _ in names]
        self._misses = np.zeros(len(names), np.int64)

    def add(self, ticks: Records) -> None:
        """Count ticks."""
        self._misses += ticks["bus_missed"].sum(axis=0)
        for times, taken_ns in zip(self._times, ticks["bus_ns"].T, strict=True):
            times.add(taken_ns)

    def summary(self) -> dict[str, Any]:
        """By bus: reading and writing together, and the ticks without a reading of it."""
        return {
            name: {
                "cycles": times.count,
                "cycle_p50_us": times.quantile_in(NS_PER_US, 0.5),
                "cycle_p99_us": times.quantile_in(NS_PER_US, 0.99),
                "misses": int(misses),
            }
            for name, times, misses in zip(self._names, self._times, self._misses, strict=True)
        }
