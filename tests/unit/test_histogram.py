from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.histogram import Histogram

durations = st.lists(st.integers(0, 10**13), min_size=1, max_size=200)
shares = st.floats(0.0, 1.0)


@given(durations, shares)
def test_a_quantile_is_within_one_percent_of_the_exact_one(values: list[int], share: float) -> None:
    histogram = Histogram()
    histogram.add(values)
    assert histogram.count == len(values)
    exact = float(np.quantile(np.array(values), share))
    assert histogram.quantile(share) == pytest.approx(exact, rel=0.01, abs=1e-6)


@given(durations, st.integers(0, 200), shares)
def test_it_is_the_same_in_one_piece_or_in_two(values: list[int], cut: int, share: float) -> None:
    whole, pieces = Histogram(), Histogram()
    whole.add(values)
    pieces.add(values[:cut])
    pieces.add(values[cut:])
    assert (pieces.count, pieces.quantile(share)) == (whole.count, whole.quantile(share))


@pytest.mark.parametrize("value", [0, 1, 255, 256, 257, 2**52, 2**53 - 1])
def test_the_ends_of_bins_are_counted_near_themselves(value: int) -> None:
    histogram = Histogram()
    histogram.add([value])
    assert histogram.quantile(0.5) == pytest.approx(value, rel=0.004)


def test_what_lies_outside_is_counted_at_the_ends_and_nothing_has_no_quantile() -> None:
    histogram = Histogram()
    assert histogram.quantile(0.5) is None
    histogram.add([-5, 2**62])
    assert histogram.quantile(0.0) == 0
    assert histogram.quantile(1.0) == pytest.approx(2**53, rel=0.004)


def test_its_memory_does_not_grow() -> None:
    histogram = Histogram()
    size = histogram._counts.nbytes
    for _ in range(100):
        histogram.add(np.arange(1000))
    assert histogram.count == 100_000
    assert histogram._counts.nbytes == size
    assert not any(isinstance(value, list) for value in vars(histogram).values())
