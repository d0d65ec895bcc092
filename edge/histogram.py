"""Durations counted in bins: bounded memory however long a run, exact counts, quantiles to 1 %."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]

_BINS = 128  # in each octave; the middle of a bin is within 1/256 of any value in it
_OCTAVE = 8  # bits of the values that have bins of their own: below 2 · _BINS each is exact
_BITS = 53  # longer than 104 days: counted as that


class Histogram:
    """Counts integers of ns from 0 up; what is below counts as 0."""

    def __init__(self) -> None:
        self.count = 0
        self._counts = np.zeros((_BITS - _OCTAVE + 2) * _BINS, np.int64)

    def add(self, values_ns: npt.ArrayLike) -> None:
        """Count values, of any shape."""
        values = np.asarray(values_ns, np.int64).ravel()
        np.add.at(self._counts, _bin(np.clip(values, 0, 2**_BITS - 1)), 1)
        self.count += len(values)

    def quantile(self, share: float) -> float | None:
        """The quantile in ns, between two ranks as ``np.quantile`` does; None of nothing."""
        if not self.count:
            return None
        rank = share * (self.count - 1)
        below, above = self._value(int(rank)), self._value(int(np.ceil(rank)))
        return below + (above - below) * (rank - int(rank))

    def quantile_in(self, unit_ns: int, share: float) -> float | None:
        """The quantile in another unit, to three decimals; None of nothing."""
        value_ns = self.quantile(share)
        return None if value_ns is None else round(value_ns / unit_ns, 3)

    def _value(self, rank: int) -> float:
        index = int(np.searchsorted(np.cumsum(self._counts), rank, side="right"))
        shift = max(index // _BINS - 1, 0)
        return ((index - shift * _BINS) << shift) + ((1 << shift) - 1) / 2


def _bin(values: Int64Array) -> Int64Array:
    """Bins grow with the octave: its number, then the leading bits after the first."""
    _, bits = np.frexp(values.astype(np.float64))  # exact below 2**53
    shift = np.maximum(bits - _OCTAVE, 0).astype(np.int64)
    bins: Int64Array = shift * _BINS + (values >> shift)
    return bins
