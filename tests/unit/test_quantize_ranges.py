from __future__ import annotations

import numpy as np
import pytest

from calibration.ranges import BINS, METHODS, STEPS, Histogram, step_of


def seen(*batches: np.ndarray) -> Histogram:
    histogram = Histogram()
    for batch in batches:
        histogram.add(batch)
    return histogram


def quantization_error(values: np.ndarray, top: float) -> float:
    codes = np.clip(np.rint(values / (top / STEPS)), -STEPS, STEPS)
    return float(((codes * top / STEPS - values) ** 2).mean())


BELL = np.random.default_rng(0).normal(size=200_000)
WITH_OUTLIER = np.append(BELL, 60.0)


def test_a_histogram_counts_everything_however_far_its_limit_grows() -> None:
    histogram = seen(np.array([0.001, -0.002]), np.full((2, 3), -7.5), np.array(1e-9))
    assert histogram.counts.sum() == 9
    assert histogram.largest == 7.5
    assert histogram.limit >= 7.5
    at = int(7.5 / histogram.limit * BINS)
    assert histogram.counts[at] == 6
    assert histogram.counts[0] + histogram.counts[1] == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_activation_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        seen(np.array([1.0, bad]))


@pytest.mark.parametrize("method", METHODS)
def test_no_method_covers_more_than_was_seen(method: str) -> None:
    for values in (BELL, WITH_OUTLIER, np.linspace(-3, 3, 5001), np.zeros(4), np.full(9, 2.0)):
        histogram = seen(values)
        top = METHODS[method](histogram)
        assert 0 < top <= max(histogram.largest, 1e-6)
        assert step_of(histogram, method) == top / STEPS


def test_min_max_covers_an_outlier_and_the_others_leave_it_out() -> None:
    histogram = seen(WITH_OUTLIER)
    tops = {name: method(histogram) for name, method in METHODS.items()}
    assert tops["minmax"] == 60.0
    for name in ("percentile", "entropy"):
        assert 2.0 < tops[name] < 6.0
    assert 4.0 < tops["mse"] < 40.0


def test_a_percentile_leaves_out_its_share() -> None:
    top = METHODS["percentile"](seen(np.linspace(0, 1, 100_001)))
    assert top == pytest.approx(0.9999, abs=1e-3)


def test_the_least_squared_error_is_about_the_least_there_is() -> None:
    for values in (BELL, WITH_OUTLIER, BELL**3):
        largest = float(np.abs(values).max())
        top = METHODS["mse"](seen(values))
        least = min(quantization_error(values, largest * i / 200) for i in range(10, 201))
        assert quantization_error(values, top) <= 1.15 * least


def test_entropy_keeps_the_whole_of_a_flat_distribution() -> None:
    flat = np.linspace(-2.0, 2.0, 40_001)
    assert METHODS["entropy"](seen(flat)) > 1.9
