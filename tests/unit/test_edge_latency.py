from __future__ import annotations

import numpy as np
import pytest

from edge.errors import UsageError
from edge.latency import LatencyModel, Profile, Samples
from edge.prefix import COARSE_SHARE, MARGIN_NS, another_token_fits, coarse_first

TOKEN_NS, DECODE_NS, FINISH_NS = 200_000, 100_000, 400_000
PROFILE = Profile(300_000, (TOKEN_NS,) * 8, DECODE_NS, (FINISH_NS,) * 8)
RESERVE_NS = MARGIN_NS + LatencyModel(PROFILE).publish_ns


def observe(model: LatencyModel, slowness: float, tokens: int = 8) -> None:
    """A whole plan, so many times slower than usual."""
    model.observe(np.full(tokens, round(slowness * TOKEN_NS)), round(slowness * DECODE_NS))


def test_a_token_fits_up_to_the_deadline_and_not_a_nanosecond_beyond() -> None:
    model = LatencyModel(PROFILE)
    deadline_ns = 1_000_000 + FINISH_NS + RESERVE_NS
    assert another_token_fits(model, 2, TOKEN_NS, 1_000_000, deadline_ns)
    assert not another_token_fits(model, 2, TOKEN_NS, 1_000_000, deadline_ns - 1)


def test_a_device_that_slows_down_shortens_the_prefix_within_a_few_plans() -> None:
    model = LatencyModel(PROFILE)
    budget_ns = 2 * FINISH_NS + RESERVE_NS
    assert another_token_fits(model, 1, TOKEN_NS, 0, budget_ns)
    for _ in range(6):
        observe(model, 3.0)
    assert model.factor == pytest.approx(3.0, rel=0.05)
    assert not another_token_fits(model, 1, TOKEN_NS, 0, budget_ns)


def test_a_device_that_recovers_is_trusted_again_more_slowly_than_it_was_doubted() -> None:
    model = LatencyModel(PROFILE)
    observe(model, 3.0)
    rise = model.factor - 1.0
    observe(model, 1.0)
    fall = 1.0 + rise - model.factor
    assert 0.0 < fall < rise
    for _ in range(40):
        observe(model, 1.0)
    assert model.factor == pytest.approx(1.0, abs=0.01)


def test_one_hiccup_does_not_ban_tokens_for_ever() -> None:
    model = LatencyModel(PROFILE)
    observe(model, 10_000.0)
    for _ in range(40):
        observe(model, 1.0)
    assert model.factor == pytest.approx(1.0, abs=0.05)


def test_a_slowness_that_sets_in_within_a_plan_counts_in_that_plan() -> None:
    model = LatencyModel(PROFILE)
    budget_ns = 2 * FINISH_NS + RESERVE_NS
    assert another_token_fits(model, 3, TOKEN_NS, 0, budget_ns)
    assert not another_token_fits(model, 3, 4 * TOKEN_NS, 0, budget_ns)
    assert another_token_fits(model, 1, PROFILE.prefill_ns, 0, budget_ns)
    assert not another_token_fits(model, 1, 4 * PROFILE.prefill_ns, 0, budget_ns)


PLANS_A_SECOND = 3  # a chunk of sixteen actions of 20 ms lasts so long


@pytest.mark.parametrize(("before", "after"), [(1.0, 2.0), (2.0, 1.0), (3.0, 1.5)])
def test_another_clock_speed_is_followed_within_a_second_up_and_down(
    before: float, after: float
) -> None:
    model = LatencyModel(PROFILE)
    for _ in range(50):
        observe(model, before)
    for _ in range(PLANS_A_SECOND):
        observe(model, after)
    assert model.factor == pytest.approx(after, rel=0.15)


def test_a_slow_plan_is_not_forgotten_for_two_fast_ones() -> None:
    model = LatencyModel(PROFILE)
    for slowness in (2.0, 1.0, 2.0, 1.0, 1.0, 2.0, 1.0, 1.0):
        observe(model, slowness)
    assert model.factor > 1.4


def test_a_decode_that_took_longer_than_foretold_is_reckoned_with_for_a_while() -> None:
    model = LatencyModel(PROFILE)
    before_ns = model.finish_ns(3, TOKEN_NS)
    model.observe(np.full(8, TOKEN_NS), 3 * DECODE_NS)
    assert model.finish_ns(3, TOKEN_NS) >= TOKEN_NS + 3 * DECODE_NS > before_ns
    for _ in range(100):
        observe(model, 1.0)
    assert model.finish_ns(3, TOKEN_NS) == pytest.approx(before_ns, rel=0.1)


def test_a_slow_first_token_alone_is_no_slow_device() -> None:
    model = LatencyModel(PROFILE)
    durations = np.full(8, TOKEN_NS)
    durations[0] *= 10
    model.observe(durations, DECODE_NS)
    assert model.factor == pytest.approx(1.0)


def test_a_coarse_chunk_comes_first_only_where_its_decode_is_cheap() -> None:
    model = LatencyModel(PROFILE)
    just_enough_ns = round(DECODE_NS / COARSE_SHARE)
    assert coarse_first(model, just_enough_ns)
    assert not coarse_first(model, just_enough_ns - 10)


def test_a_profile_takes_medians_of_stages() -> None:
    profile = plans_in_spells().profile(0.01)
    medians_ns = (profile.prefill_ns, *profile.token_ns, profile.decode_ns)
    usual_ns = (PROFILE.prefill_ns, *PROFILE.token_ns, PROFILE.decode_ns)
    assert medians_ns == pytest.approx(usual_ns, rel=0.05)


def test_what_a_planner_foretells_from_a_profile_is_exceeded_as_often_as_its_target_says() -> None:
    samples = plans_in_spells()
    model, misses, tokens = LatencyModel(samples.profile(0.01)), 0, 3
    for token_ns, decode_ns in zip(samples.token_ns, samples.decode_ns, strict=True):
        foretold_ns = model.finish_ns(tokens, int(token_ns[tokens - 1]))
        misses += int(token_ns[tokens]) + int(decode_ns) > foretold_ns
        model.observe(token_ns, int(decode_ns))
    assert 0.001 <= misses / len(samples.decode_ns) <= 0.015


def test_a_slow_device_takes_longer_but_gaps_torn_into_a_plan_stay_as_they_are() -> None:
    model = LatencyModel(PROFILE)
    torn_ns = FINISH_NS - TOKEN_NS - DECODE_NS
    model.rescale(2.0)
    assert model.finish_ns(3, 2 * TOKEN_NS) == 2 * (TOKEN_NS + DECODE_NS) + torn_ns


def test_slow_spells_of_the_device_do_not_enter_a_profiles_surprises() -> None:
    """The planner knows of them by then; in steady times they are no reason for caution."""
    samples = plans_in_spells()
    slow_ns = np.quantile(samples.token_ns + samples.decode_ns[:, None], 0.99)
    assert slow_ns > 1.9 * (TOKEN_NS + DECODE_NS)
    assert max(samples.profile(0.01).finish_ns[1:]) < 1.4 * (TOKEN_NS + DECODE_NS)


def plans_in_spells() -> Samples:
    """Of every hundred plans the last twenty take twice as long; every stage varies by 10 %."""
    rng, plans = np.random.default_rng(5), 2_000
    slowness = np.where(np.arange(plans) % 100 < 80, 1.0, 2.0)[:, None]
    varied = slowness * rng.uniform(0.9, 1.1, (plans, 10))
    return Samples(
        prefix=np.full(plans, 3),
        prefill_ns=(PROFILE.prefill_ns * varied[:, 9]).astype(np.int64),
        token_ns=(TOKEN_NS * varied[:, :8]).astype(np.int64),
        decode_ns=(DECODE_NS * varied[:, 8]).astype(np.int64),
    )


@pytest.mark.parametrize("target", [0.0, 1.0, -1.0])
def test_a_miss_target_that_is_no_share_is_refused(target: float) -> None:
    four = np.ones(4, np.int64)
    samples = Samples(four, four, np.ones((4, 2), np.int64), four)
    with pytest.raises(UsageError, match=f"miss target is {target}"):
        samples.profile(target)
