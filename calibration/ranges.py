"""From what was seen of an activation to the range that INT8 covers: four methods.

All work on a histogram of absolute values, because quantization is symmetric.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

BINS = 2048
STEPS = 127  # int8 codes of one sign
PERCENTILE = 0.9999
_SMALLEST_RANGE = 1e-6  # of an activation that was always 0
_CANDIDATES = 128


class Histogram:
    """Counts of absolute values in BINS equal bins from 0 to ``limit``, which grows as needed."""

    def __init__(self) -> None:
        self.counts = np.zeros(BINS)
        self.limit = _SMALLEST_RANGE
        self.largest = 0.0

    def add(self, values: np.ndarray) -> None:
        """Account for values of any shape; raises ValueError if one of them is not finite."""
        magnitudes = np.abs(values).ravel()
        top = float(magnitudes.max())
        if not np.isfinite(top):
            raise ValueError("an activation is not finite")
        self.largest = max(self.largest, top)
        while top > self.limit:
            pairs = self.counts.reshape(-1, 2).sum(1)
            self.counts = np.concatenate([pairs, np.zeros(BINS // 2)])
            self.limit *= 2
        bins = np.minimum(magnitudes * (BINS / self.limit), BINS - 1).astype(np.int64)
        self.counts += np.bincount(bins, minlength=BINS)

    @property
    def centres(self) -> np.ndarray:
        """The middle of each bin, (BINS,)."""
        return (np.arange(BINS) + 0.5) * (self.limit / BINS)


Method = Callable[[Histogram], float]


def min_max(histogram: Histogram) -> float:
    """The largest magnitude seen."""
    return max(histogram.largest, _SMALLEST_RANGE)


def percentile(histogram: Histogram, share: float = PERCENTILE) -> float:
    """The magnitude that ``share`` of all values stay below."""
    below = np.cumsum(histogram.counts) / histogram.counts.sum()
    index = int(np.searchsorted(below, share))
    return min((index + 1) * histogram.limit / BINS, min_max(histogram))


def mean_squared_error(histogram: Histogram) -> float:
    """The range with the least squared error of rounding and clipping together."""
    top, centres = min_max(histogram), histogram.centres
    ranges = top * np.arange(_CANDIDATES // 8, _CANDIDATES + 1) / _CANDIDATES
    steps = (ranges / STEPS)[:, None]
    rounded = np.minimum(np.rint(centres / steps), STEPS) * steps
    errors = ((rounded - centres) ** 2 * histogram.counts).sum(1)
    return float(ranges[errors.argmin()])


def entropy(histogram: Histogram) -> float:
    """The range that loses least information, by Kullback-Leibler divergence between the clipped
    histogram and itself in 128 levels (S. Migacz, 8-bit Inference with TensorRT, GTC 2017)."""
    counts = histogram.counts
    used = int(np.flatnonzero(counts).max(initial=0)) + 1
    lengths = list(range(STEPS + 1, used + 1, 16)) or [used]
    divergences = [_divergence(counts, length) for length in lengths]
    best = lengths[int(np.argmin(divergences))]
    return min(best * histogram.limit / BINS, min_max(histogram))


METHODS: dict[str, Method] = {
    "minmax": min_max,
    "percentile": percentile,
    "mse": mean_squared_error,
    "entropy": entropy,
}


def step_of(histogram: Histogram, method: str) -> float:
    """The quantization step of an activation by the named method."""
    return METHODS[method](histogram) / STEPS


def _divergence(counts: np.ndarray, length: int) -> float:
    """Of the first ``length`` bins, the rest clipped into the last one, against 128 levels."""
    kept = counts[:length]
    reference = kept.copy()
    reference[-1] += counts[length:].sum()
    level = np.arange(length) * (STEPS + 1) // length
    mass = np.bincount(level, kept, STEPS + 1)
    filled = np.bincount(level, kept > 0, STEPS + 1)
    spread = np.divide(mass, filled, out=np.zeros_like(mass), where=filled > 0)
    coarse = np.where(kept > 0, spread[level], 0.0)
    # A clipped outlier may fall into a bin that was empty: it is then infinitely surprising.
    p, q = reference / reference.sum(), coarse / max(coarse.sum(), 1e-12)
    some = p > 0
    return float((p[some] * np.log(p[some] / np.maximum(q[some], 1e-12))).sum())
