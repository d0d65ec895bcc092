"""How far graphs are from the trained models in torch: tokens, and actions at equal tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from calibration.observations import Observations
from calibration.session import GraphModel
from models.checkpoint import Checkpoint
from models.generation import generate
from models.layers import trained_prefixes

Row = dict[str, np.ndarray]

CONFIDENCE_Z = 1.645
"""Of the normal distribution: 95 % lie below."""


@dataclass(frozen=True)
class Reference:
    """What the trained models answer, in FP32, greedily.

    rows: N observations, features (1, n_obs_steps, dim) each; tokens (N, R); actions: by prefix,
    (N, execution_horizon, D) in rad, decoded from those tokens.
    """

    rows: Sequence[Row]
    tokens: np.ndarray
    actions: Mapping[int, np.ndarray]

    @property
    def prefixes(self) -> list[int]:
        return list(self.actions)

    @property
    def longest(self) -> int:
        """The number of tokens of a whole plan."""
        return int(self.tokens.shape[1])


@torch.no_grad()
def reference(checkpoint: Checkpoint, observations: Observations) -> Reference:
    """The trained models' answers to raw features (N, n_obs_steps, dim)."""
    config, executed = checkpoint.tokenizer.config, checkpoint.facts["execution_horizon"]
    tensors = {
        key: torch.from_numpy(observations[key]) for key in checkpoint.policy.config.features
    }
    tokens = generate(checkpoint.policy, tensors, config.num_tokens)
    actions = {
        k: checkpoint.tokenizer.decode(tokens, k, tensors)[:, :executed].numpy()
        for k in trained_prefixes(config.num_tokens, config.nested_dropout)
    }
    rows = [
        {key: value[i : i + 1].numpy() for key, value in tensors.items()}
        for i in range(len(tokens))
    ]
    return Reference(rows, tokens.numpy(), actions)


def compare(model: GraphModel, truth: Reference) -> dict[str, Any]:
    """The figures of a precision, by prefix k.

    ``token_agreement``: share of equal tokens among the first k, each generated from the ones
    before it. ``token_agreement_low``: the share that so many observations show with 95 %
    confidence. ``token_agreement_forced``: the same, each generated from the reference's.
    ``whole_prefix_agreement``: share of observations whose first k tokens are all equal.
    ``action_error_rad``: over the executed steps, of equal tokens decoded by both.
    """
    free = free_tokens(model, truth) == truth.tokens  # (N, R)
    forced = forced_tokens(model, truth, free) == truth.tokens
    errors = {k: action_errors(model, truth, k) for k in truth.prefixes}
    return {
        "observations": len(truth.rows),
        "token_agreement": {str(k): share(free[:, :k]) for k in truth.prefixes},
        "token_agreement_low": {str(k): shown(free[:, :k]) for k in truth.prefixes},
        "token_agreement_forced": {str(k): share(forced[:, :k]) for k in truth.prefixes},
        "whole_prefix_agreement": {str(k): share(free[:, :k].all(1)) for k in truth.prefixes},
        "action_error_rad": {str(k): summary(error) for k, error in errors.items()},
    }


def free_tokens(model: GraphModel, truth: Reference) -> np.ndarray:
    """The model's own plans (N, R)."""
    plans = [model.generate(row, truth.longest) for row in truth.rows]
    return np.concatenate(plans)


def forced_tokens(
    model: GraphModel, truth: Reference, free_equal: np.ndarray | None = None
) -> np.ndarray:
    """The model's tokens (N, R), each after the reference's earlier ones.

    Where ``free_equal`` (N, R) says that the free plan is the reference's, so is the forced one.
    """
    tokens = truth.tokens.copy()
    for index, row in enumerate(truth.rows):
        if free_equal is None or not free_equal[index].all():
            forced = truth.tokens[index : index + 1]
            tokens[index] = model.generate(row, truth.longest, forced)[0]
    return tokens


def action_errors(model: GraphModel, truth: Reference, prefix: int) -> np.ndarray:
    """Absolute errors (N, execution_horizon, D) in rad from the reference's tokens."""
    wanted = truth.actions[prefix]
    codes = zip(truth.tokens[:, None], truth.rows, strict=True)
    decoded = np.stack([model.decode(tokens, prefix, row) for tokens, row in codes])
    return np.abs(decoded[:, : wanted.shape[1]] - wanted)


def share(equal: np.ndarray) -> float:
    """Share of true entries, to four digits."""
    return round(float(equal.mean()), 4)


def shown(equal: np.ndarray) -> float:
    """Lower end of the one-sided 95 % Wilson interval of the share of true entries, (N, k).

    The N observations count, as if an observation's tokens were right or wrong together.
    """
    agreement, square = float(equal.mean()), CONFIDENCE_Z**2 / len(equal)
    spread = math.sqrt(square * (agreement * (1.0 - agreement) + square / 4))
    return round((agreement + square / 2 - spread) / (1.0 + square), 4)


def summary(error: np.ndarray) -> dict[str, float]:
    """Mean, 99th percentile and largest, to three digits."""
    figures = {"mean": error.mean(), "p99": np.quantile(error, 0.99), "max": error.max()}
    return {name: float(f"{value:.3g}") for name, value in figures.items()}
