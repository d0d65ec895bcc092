"""Untrained models small enough for fast tests, and synthetic demonstrations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from models.checkpoint import Checkpoint
from models.observation import safe_name
from models.policy import OATPolicy, PolicyConfig
from models.tokenizer import OATTokenizer, TokenizerConfig

FEATURES = {"observation.state": 3, "observation.command": 3}


def tiny_tokenizer(observes: bool = False, **changes: Any) -> OATTokenizer:
    """Three joints, chunks of 8 steps, 4 tokens of 60 codes; weights random but not small.

    ``observes``: it is conditioned on ``FEATURES``.
    """
    sizes: dict[str, Any] = {
        "action_dim": 3,
        "action_horizon": 8,
        "num_tokens": 4,
        "levels": (5, 4, 3),
        "dim": 16,
        "head_dim": 8,
        "encoder_depth": 1,
        "decoder_depth": 2,
        "patch": 4,
        "conditioned_on_command": not observes,
        "observed": dict(FEATURES) if observes else {},
    }
    torch.manual_seed(0)
    tokenizer = OATTokenizer(TokenizerConfig(**{**sizes, **changes}))
    _scatter(tokenizer, 0.15)
    tokenizer.normalizer.fit(torch.tensor([[-1.0, -2.0, 0.1], [1.0, 0.5, 0.2]]))
    observed = tokenizer.config.observed
    if observed:
        tokenizer.features.fit({key: torch.randn(20, dim) * 2 + 1 for key, dim in observed.items()})
    return tokenizer.eval()


def tiny_policy(**changes: Any) -> OATPolicy:
    """Two layers of 16 for ``tiny_tokenizer``'s tokens."""
    sizes: dict[str, Any] = {
        "features": dict(FEATURES),
        "codebook_size": 60,
        "num_tokens": 4,
        "dim": 16,
        "layers": 2,
        "heads": 2,
    }
    torch.manual_seed(1)
    policy = OATPolicy(PolicyConfig(**{**sizes, **changes}))
    _scatter(policy, 0.6)
    for key, dim in policy.config.features.items():
        policy.obs_encoder.normalizers[safe_name(key)].fit(torch.randn(20, dim) * 2 + 1)
    return policy.eval()


def tiny_checkpoint(**tokenizer_changes: Any) -> Checkpoint:
    """Both, with facts of a made-up task and 6 random observations."""
    names = ("a", "b", "c")
    facts = {
        "name": "tiny",
        "task": "none",
        "rate_hz": 50.0,
        "execution_horizon": 4,
        "features": {key: {"names": names, "unit": "rad"} for key in FEATURES},
        "action": {"names": names, "unit": "rad"},
        "training": {"seed": 0},
    }
    tokenizer, policy = tiny_tokenizer(**tokenizer_changes), tiny_policy()
    return as_stored(Checkpoint(tokenizer, policy, facts, observations(6)))


def as_stored(checkpoint: Checkpoint) -> Checkpoint:
    """The same with its matrices rounded as a checkpoint's files hold them."""
    for value in [*checkpoint.tokenizer.parameters(), *checkpoint.policy.parameters()]:
        if value.ndim > 1:
            value.data = value.data.half().float()
    return checkpoint


def observations(count: int) -> dict[str, torch.Tensor]:
    """Random raw features (count, 2, 3)."""
    torch.manual_seed(2)
    return {key: torch.randn(count, 2, dim) for key, dim in FEATURES.items()}


def demonstrations(episodes: int = 6, steps: int = 20) -> dict[str, np.ndarray]:
    """Arrays of a demonstrations file: slow sines; the label is the command of the next step."""
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 6, (episodes, 1, 3)) + np.arange(steps + 1)[None, :, None] * 0.1
    wave = np.sin(phase).astype(np.float32)
    rows = wave[:, :-1].reshape(-1, 3)
    return {
        "observation.state": rows + 0.01,
        "observation.command": rows,
        "action": wave[:, 1:].reshape(-1, 3),
        "mask": np.ones(episodes * steps, bool),
        "episode_start": np.arange(episodes) * steps,
        "mode": np.zeros(episodes, np.int64),
    }


def _scatter(model: torch.nn.Module, deviation: float) -> None:
    """Larger weights than at the start of training, so that a mistake shows."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * deviation)
