from __future__ import annotations

import pytest
import torch

from models.generation import act, generate, generate_plain
from models.policy import PolicyConfig
from tests.unit.tiny_models import observations, tiny_policy, tiny_tokenizer

POLICY = tiny_policy()


@torch.no_grad()
def test_stepping_with_a_cache_equals_the_whole_forward() -> None:
    cross_kv = POLICY.prefill(observations(5))
    begin = torch.full((5, 1), POLICY.config.bos)
    tokens = torch.cat([begin, torch.randint(60, (5, 3))], 1)
    whole = POLICY(tokens, cross_kv)
    cache = POLICY.new_cache(5)
    for position in range(4):
        logits = POLICY.step(tokens[:, position : position + 1], position, cross_kv, cache)
        torch.testing.assert_close(logits, whole[:, position])


@torch.no_grad()
def test_what_a_reused_cache_held_before_does_not_matter() -> None:
    cross_kv = POLICY.prefill(observations(1))
    begin = torch.tensor([[POLICY.config.bos]])
    used = torch.full_like(POLICY.new_cache(1), 7.0)
    fresh = POLICY.step(begin, 0, cross_kv, POLICY.new_cache(1))
    assert torch.equal(POLICY.step(begin, 0, cross_kv, used), fresh)


@torch.no_grad()
def test_a_token_never_depends_on_a_later_one() -> None:
    cross_kv = POLICY.prefill(observations(1))
    logits = POLICY(torch.tensor([[60, 1, 2, 3]]), cross_kv)
    changed = POLICY(torch.tensor([[60, 1, 9, 9]]), cross_kv)
    assert torch.equal(logits[:, :2], changed[:, :2])
    assert not torch.equal(logits[:, 2:], changed[:, 2:])


@pytest.mark.parametrize("prefix", [1, 2, 4])
def test_cached_and_plain_generation_agree_and_shorter_is_a_prefix(prefix: int) -> None:
    observation = observations(16)
    tokens = generate(POLICY, observation, prefix)
    assert torch.equal(tokens, generate_plain(POLICY, observation, prefix))
    assert torch.equal(tokens, generate(POLICY, observation, 4)[:, :prefix])
    assert len(tokens.unique(dim=0)) > 1


def test_the_begin_token_is_never_generated() -> None:
    policy = tiny_policy()
    with torch.no_grad():
        policy.head.weight[policy.config.bos] = policy.ln_f.weight * 100
    assert generate(policy, observations(16), 4).max() < policy.config.bos


def test_acting_returns_a_whole_chunk_for_any_prefix() -> None:
    for prefix in range(1, 5):
        actions = act(tiny_tokenizer(), POLICY, observations(3), prefix)
        assert actions.shape == (3, 8, 3)


@torch.no_grad()
def test_every_feature_and_every_observation_step_matters() -> None:
    base = POLICY.prefill(observations(1))
    for key in POLICY.config.features:
        for step in range(2):
            observation = observations(1)
            observation[key][:, step] += 1.0
            assert not torch.equal(POLICY.prefill(observation), base)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads 3"):
        PolicyConfig(dim=16, heads=3)
