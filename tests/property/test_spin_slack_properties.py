"""The spin slack is a bounded online quantile, whatever the kernel's lateness looks like."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.ticker import FLOOR_NS, IN_TIME_SHARE, RISE_NS, SpinSlack

lateness_ns = st.integers(0, 50_000_000)
maximum_ns = st.integers(0, 2_000_000)


@given(maximum_ns, st.lists(lateness_ns, max_size=200))
def test_the_slack_never_leaves_its_bounds(maximum: int, samples: list[int]) -> None:
    slack = SpinSlack(maximum)
    for sample in samples:
        slack.observe(sample)
        assert min(FLOOR_NS, maximum) <= slack.ns <= maximum


@given(st.lists(lateness_ns, max_size=200))
def test_a_maximum_of_nothing_never_spins(samples: list[int]) -> None:
    slack = SpinSlack(0)
    for sample in samples:
        slack.observe(sample)
    assert slack.ns == 0


@given(maximum_ns, st.lists(lateness_ns, max_size=50), lateness_ns)
def test_a_late_wake_up_never_shortens_and_a_timely_one_never_lengthens_the_slack(
    maximum: int, samples: list[int], last: int
) -> None:
    slack = SpinSlack(maximum)
    for sample in samples:
        slack.observe(sample)
    before = slack.ns
    slack.observe(last)
    assert slack.ns >= before if last > before else slack.ns <= before


@given(st.integers(FLOOR_NS, 2_000_000))
def test_wake_ups_that_are_all_too_late_lead_to_the_maximum(maximum: int) -> None:
    slack = SpinSlack(maximum)
    slack.ns = min(FLOOR_NS, maximum)
    for _ in range(maximum // RISE_NS + 1):
        slack.observe(maximum + 1)
    assert slack.ns == maximum


def test_a_kernel_that_is_never_late_leads_to_the_floor() -> None:
    slack = SpinSlack(200_000)
    for _ in range(10_000):
        slack.observe(0)
    assert slack.ns == FLOOR_NS


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(2_000, 30_000))
def test_in_the_long_run_the_wanted_share_of_wake_ups_is_in_time(seed: int, mean: float) -> None:
    samples = np.random.default_rng(seed).exponential(mean, 40_000).astype(int).tolist()
    slack = SpinSlack(2_000_000)
    slack.ns = 100_000
    late = 0
    for index, sample in enumerate(samples):
        late += index >= 10_000 and sample > slack.ns
        slack.observe(sample)
    # A share p of n trials scatters by sqrt(p (1 - p) / n); 6 of those on either side of 0.2 %.
    share = late / 30_000
    wanted = 1 - IN_TIME_SHARE
    floor_covers_it = np.mean(np.asarray(samples) > FLOOR_NS) < wanted
    assert share <= wanted + 0.0016
    assert floor_covers_it or share >= wanted - 0.0016


def test_the_slack_follows_a_kernel_that_changes_its_ways() -> None:
    random = np.random.default_rng(1)
    slack = SpinSlack(500_000)
    for mean in (10_000, 40_000, 10_000):
        for sample in random.exponential(mean, 12_000).astype(int).tolist():
            slack.observe(sample)
        exact = mean * np.log(1 / (1 - IN_TIME_SHARE))
        assert 0.5 * exact < slack.ns < 1.6 * exact
