from __future__ import annotations

import numpy as np
import pytest

from edge.errors import UsageError
from edge.latency import LatencyModel, Profile, Samples
from edge.prefix import COARSE_SHARE, MARGIN_NS, another_token_fits, coarse_first

TOKEN_NS, DECODE_NS, FINISH_NS = 200_000, 100_000, 400_000
PROFILE = Profile(300_000, (TOKEN_NS,) * 8, DECODE_NS, (FINISH_NS,) * 8)


def observe(model: LatencyModel, slowness: float, tokens: int = 8) -> None:
    """A whole plan, so many times slower than usual."""
    model.observe(np.full(tokens, round(slowness * TOKEN_NS)), round(slowness * DECODE_NS))


def test_a_token_fits_up_to_the_deadline_and_not_a_nanosecond_beyond() -> None:
    model = LatencyModel(PROFILE)
    deadline_ns = 1_000_000 + FINISH_NS + MARGIN_NS
    assert another_token_fits(model, 2, TOKEN_NS, 1_000_000, deadline_ns)
    assert not another_token_fits(model, 2, TOKEN_NS, 1_000_000, deadline_ns - 1)


def test_a_device_that_slows_down_shortens_the_prefix_within_a_few_plans() -> None:
    model = LatencyModel(PROFILE)
    budget_ns = 2 * FINISH_NS + MARGIN_NS
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
    budget_ns = 2 * FINISH_NS + MARGIN_NS
    assert another_token_fits(model, 3, TOKEN_NS, 0, budget_ns)
    assert not another_token_fits(model, 3, 4 * TOKEN_NS, 0, budget_ns)
    assert another_token_fits(model, 1, PROFILE.prefill_ns, 0, budget_ns)
    assert not another_token_fits(model, 1, 4 * PROFILE.prefill_ns, 0, budget_ns)


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


def test_a_profile_takes_medians_of_stages_and_a_high_quantile_of_what_ends_a_plan() -> None:
    rng = np.random.default_rng(5)
    plans = 1000
    samples = Samples(
        prefix=np.full(plans, 3),
        prefill_ns=np.full(plans, 7),
        token_ns=rng.integers(100, 200, (plans, 3)),
        decode_ns=rng.integers(10, 20, plans),
    )
    profile = samples.profile(0.01)
    assert profile.prefill_ns == 7
    assert all(145 <= token <= 155 for token in profile.token_ns)
    finish = samples.token_ns + samples.decode_ns[:, None]
    missed = (finish > np.array(profile.finish_ns)).mean(axis=0)
    assert (missed <= 0.02).all()
    assert (missed >= 0.005).all()


@pytest.mark.parametrize("target", [0.0, 1.0, -1.0])
def test_a_miss_target_that_is_no_share_is_refused(target: float) -> None:
    four = np.ones(4, np.int64)
    samples = Samples(four, four, np.ones((4, 2), np.int64), four)
    with pytest.raises(UsageError, match=f"miss target is {target}"):
        samples.profile(target)
