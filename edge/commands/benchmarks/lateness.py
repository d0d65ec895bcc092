"""Quantiles of lateness, from single measurements or from a histogram, under the same names."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from edge.rates import NS_PER_US

Int64Array = npt.NDArray[np.int64]

SHARES = {"p50_us": 0.5, "p99_us": 0.99, "p999_us": 0.999, "max_us": 1.0}


def of_samples(lateness_ns: Int64Array) -> dict[str, float]:
    """Quantiles of single measurements, shape (n,), n ≥ 1, by nearest rank."""
    ordered = np.sort(lateness_ns)
    return {
        name: round(float(ordered[_rank(share, len(ordered))]) / NS_PER_US, 3)
        for name, share in SHARES.items()
    }


def of_histogram(counts: Mapping[int, int]) -> dict[str, float]:
    """The same from a histogram: how often each lateness, in whole µs, was seen."""
    values = np.array(sorted(counts))
    seen = np.cumsum([counts[value] for value in values.tolist()])
    return {
        name: float(values[np.searchsorted(seen, _rank(share, int(seen[-1])) + 1)])
        for name, share in SHARES.items()
    }


def _rank(share: float, count: int) -> int:
    return max(0, math.ceil(share * count) - 1)
