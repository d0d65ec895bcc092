from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from calibration.gate import Bounds, violations
from calibration.parity import shown


def figures(
    agreement: float = 1.0, error: float = 0.0, successes: int = 100, largest: float = 0.0
) -> dict[str, Any]:
    """Good at k = 1, as told at k = 8."""
    return {
        "token_agreement": {"1": 1.0, "8": agreement},
        "action_error_rad": {"1": {"p99": 0.0, "max": 0.0}, "8": {"p99": error, "max": largest}},
        "closed_loop": {
            "1": {"successes": 100, "episodes": 100},
            "8": {"successes": successes, "episodes": 100},
        },
    }


BASELINE = figures()["closed_loop"]


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (figures(agreement=0.97), []),
        (
            figures(agreement=0.9699),
            ["token agreement 0.9699 at k = 8, shown are 0.9699, required 0.97"],
        ),
        (figures(error=0.01), []),
        (figures(error=0.0101), ["action error p99 0.0101 rad at k = 8, allowed 0.01"]),
        (figures(error=float("nan")), ["action error p99 nan rad at k = 8, allowed 0.01"]),
        (figures(largest=0.05), []),
        (figures(largest=0.051), ["action error max 0.051 rad at k = 8, allowed 0.05"]),
        (figures(successes=98), []),
        (figures(successes=97), ["success drops by 3.0 points at k = 8, allowed 2"]),
    ],
)
def test_each_bound_lets_in_what_meets_it_and_names_what_does_not(
    row: dict[str, Any], wanted: list[str]
) -> None:
    assert violations(row, Bounds(), BASELINE) == wanted


def test_agreement_counts_as_far_as_the_observations_show_it() -> None:
    row = figures(agreement=0.98)
    assert violations(row, Bounds()) == []
    row["token_agreement_low"] = {"1": 0.99, "8": 0.969}
    wanted = "token agreement 0.9800 at k = 8, shown are 0.9690, required 0.97"
    assert violations(row, Bounds()) == [wanted]


@pytest.mark.parametrize(
    ("wrong", "of", "low"),
    [(0, 100, 0.9737), (50, 100, 0.4188), (100, 100, 0.0), (40, 3000, 0.9828)],
)
def test_fewer_observations_show_less(wrong: int, of: int, low: float) -> None:
    equal = np.arange(of)[:, None].repeat(8, axis=1) >= wrong
    assert shown(equal) == low


def test_every_broken_bound_is_named_at_once() -> None:
    assert len(violations(figures(0.5, 0.5, 50, 0.5), Bounds(), BASELINE)) == 4


def test_success_is_looked_at_only_where_episodes_were_run() -> None:
    row = figures(successes=0)
    assert violations(row, Bounds()) == []
    del row["closed_loop"]
    assert violations(row, Bounds(), BASELINE) == []


def test_more_successes_than_fp32_are_no_drop() -> None:
    fewer = {k: {"successes": 90, "episodes": 100} for k in BASELINE}
    assert violations(figures(), Bounds(max_success_drop=0.0), fewer) == []


def test_tighter_bounds_leave_a_share_of_what_is_allowed() -> None:
    tight = Bounds(0.01, 0.96, 2.0, 0.05).scaled(0.5)
    assert tight.max_largest_error_rad == pytest.approx(0.025)
    assert tight.max_action_error_rad == pytest.approx(0.005)
    assert tight.min_token_agreement == pytest.approx(0.98)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_action_error_rad", -0.1),
        ("max_action_error_rad", float("nan")),
        ("min_token_agreement", 1.01),
        ("max_success_drop", 101.0),
        ("max_largest_error_rad", -1.0),
    ],
)
def test_a_bound_out_of_range_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}; allowed are 0 to"):
        Bounds(**{name: value})
