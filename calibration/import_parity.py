"""How far the graphs of an import are from the imported models in torch.

Official checkpoints come without data, so observations are drawn from the range that each of the
policy's normalisers was fitted to, and the tokenizer is tried on random codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime import InferenceSession
from torch import Tensor

from calibration.session import GraphModel
from models.generation import generate
from models.layers import trained_prefixes
from models.observation import safe_name
from models.policy import OATPolicy
from models.tokenizer import OATTokenizer

SAMPLES = 64
Graphs = Mapping[str, onnx.ModelProto]


def policy_parity(tokenizer: OATTokenizer, policy: OATPolicy, graphs: Graphs) -> dict[str, Any]:
    """Share of equal tokens among the first k and errors of decoded actions, both by k."""
    examples = _observations(policy, SAMPLES)
    wanted = generate(policy, examples, policy.config.num_tokens).numpy()
    model = GraphModel(graphs)
    rows = [
        {key: value[i : i + 1].numpy() for key, value in examples.items()} for i in range(SAMPLES)
    ]
    tokens = np.concatenate([model.generate(row, model.num_tokens) for row in rows])
    equal = tokens == wanted  # (N, R)
    config = tokenizer.config
    prefixes = trained_prefixes(config.num_tokens, config.nested_dropout)
    agreement = {str(k): round(float(equal[:, :k].mean()), 4) for k in prefixes}
    return {
        "observations": SAMPLES,
        "precisions": {
            "token_agreement": agreement,
            "action_error_rad": _decode_errors(tokenizer, graphs, wanted),
        },
    }


def tokenizer_parity(tokenizer: OATTokenizer, graphs: Graphs) -> dict[str, Any]:
    """Errors of decoded random codes by k."""
    shape = (SAMPLES, tokenizer.config.num_tokens)
    tokens = np.random.default_rng(0).integers(0, tokenizer.config.codebook_size, shape)
    errors = _decode_errors(tokenizer, graphs, tokens)
    return {"observations": 0, "precisions": {"action_error_rad": errors}}


def _decode_errors(
    tokenizer: OATTokenizer, graphs: Graphs, tokens: np.ndarray
) -> dict[str, dict[str, float]]:
    config = tokenizer.config
    session = InferenceSession(graphs["decode_full"].SerializeToString())
    errors = {}
    for k in trained_prefixes(config.num_tokens, config.nested_dropout):
        truth = tokenizer.decode(torch.from_numpy(tokens), k).numpy()
        prefix = np.array([k])
        decoded = [session.run(None, {"tokens": row[None], "prefix": prefix})[0] for row in tokens]
        error = np.abs(np.concatenate(decoded) - truth)
        figures = {"mean": error.mean(), "p99": np.quantile(error, 0.99), "max": error.max()}
        errors[str(k)] = {name: float(f"{value:.3g}") for name, value in figures.items()}
    return errors


def _observations(policy: OATPolicy, count: int) -> dict[str, Tensor]:
    """Raw features (count, S, dim), uniform over the range of the training data."""
    generator = torch.Generator().manual_seed(0)
    drawn = {}
    for key, dim in policy.config.features.items():
        shape = (count, policy.config.n_obs_steps, dim)
        normalised = 2.0 * torch.rand(shape, generator=generator) - 1.0
        norm = policy.obs_encoder.normalizers[safe_name(key)]
        drawn[key] = norm.inverse(normalised)
    return drawn
