"""Greedy generation, ways that must agree: plain, with a cache, to an end, and exported."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.policy import OATPolicy
from models.tokenizer import OATTokenizer


@torch.no_grad()
def generate_plain(policy: OATPolicy, observation: Mapping[str, Tensor], prefix: int) -> Tensor:
    """``prefix`` greedy tokens (B, prefix), running the whole growing sequence for each.

    The baseline of the benchmarks: what an implementation without a cache does.
    """
    cross_kv = policy.prefill(observation)
    tokens = _bos(policy, observation)
    for _ in range(prefix):
        logits = policy(tokens, cross_kv)[:, -1]
        tokens = torch.cat([tokens, _greedy(policy, logits)], 1)
    return tokens[:, 1:]


@torch.no_grad()
def generate_sequence(
    policy: OATPolicy, observation: Mapping[str, Tensor], limit: int, end: int | None
) -> Tensor:
    """Greedy tokens (1, T) up to the first ``end``, itself included, or ``limit`` of them."""
    cross_kv = policy.prefill(observation)
    tokens = [_bos(policy, observation)]
    self_kv = policy.new_cache()
    for position in range(limit):
        tokens.append(_greedy(policy, policy.step(tokens[-1], position, cross_kv, self_kv)))
        if tokens[-1].item() == end:
            break
    return torch.cat(tokens[1:], 1)


@torch.no_grad()
def generate(policy: OATPolicy, observation: Mapping[str, Tensor], prefix: int) -> Tensor:
    """``prefix`` greedy tokens (B, prefix) through the key/value cache."""
    cross_kv = policy.prefill(observation)
    tokens = [_bos(policy, observation)]
    self_kv = policy.new_cache(len(tokens[0]))
    for position in range(prefix):
        logits = policy.step(tokens[-1], position, cross_kv, self_kv)
        tokens.append(_greedy(policy, logits))
    return torch.cat(tokens[1:], 1)


@torch.no_grad()
def act(
    tokenizer: OATTokenizer,
    policy: OATPolicy,
    observation: Mapping[str, Tensor],
    prefix: int,
    plain: bool = False,
) -> Tensor:
    """Raw features (B, S, dim) to actions (B, action_horizon, D) in rad from ``prefix`` tokens."""
    tokens = (generate_plain if plain else generate)(policy, observation, prefix)
    missing = tokenizer.config.num_tokens - prefix
    tokens = torch.nn.functional.pad(tokens, (0, missing))
    return tokenizer.decode(tokens, prefix, observation)


def _bos(policy: OATPolicy, observation: Mapping[str, Tensor]) -> Tensor:
    batch = len(next(iter(observation.values())))
    return torch.full((batch, 1), policy.config.bos)


def _greedy(policy: OATPolicy, logits: Tensor) -> Tensor:
    return logits[:, : policy.config.codebook_size].argmax(-1, keepdim=True)
