"""How far exported graphs are from the trained models in torch, on held-out observations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch

from calibration.session import GraphModel, GraphPolicy
from models.checkpoint import Checkpoint
from models.generation import generate, previous_command
from models.layers import trained_prefixes


@torch.no_grad()
def measure(
    checkpoint: Checkpoint, graphs: Mapping[str, Mapping[str, onnx.ModelProto]], limit: int
) -> dict[str, Any]:
    """Parity per precision on at most ``limit`` examples of the checkpoint.

    ``token_agreement`` by prefix: share of observations whose first k greedy tokens all equal
    torch's. ``action_error_rad`` by prefix: of the same tokens decoded by both.
    """
    count = min(limit, len(next(iter(checkpoint.examples.values()))))
    examples = {key: value[:count] for key, value in checkpoint.examples.items()}
    reference = generate(checkpoint.policy, examples, checkpoint.policy.config.num_tokens)
    rows = {
        precision: _compare(checkpoint, GraphModel(models), examples, reference)
        for precision, models in graphs.items()
    }
    return {"observations": count, "precisions": rows}


def closed_loop(
    checkpoint: Checkpoint, graphs: Mapping[str, onnx.ModelProto], episodes: int
) -> dict[str, dict[str, int]]:
    """Successes by prefix on unseen starts of the checkpoint's task, not in real time."""
    from models.rollout import evaluate
    from models.tasks import get_task

    task, model = get_task(checkpoint.facts["task"]), GraphModel(graphs)
    execute, begin = checkpoint.facts["execution_horizon"], checkpoint.policy.config.bos
    config = checkpoint.tokenizer.config
    counts = {}
    for k in trained_prefixes(config.num_tokens, config.nested_dropout):
        runs = evaluate(task, GraphPolicy(model, begin, k), episodes, execute)
        counts[str(k)] = {"successes": runs.successes, "episodes": episodes}
    return counts


def _compare(
    checkpoint: Checkpoint,
    model: GraphModel,
    examples: Mapping[str, torch.Tensor],
    reference: torch.Tensor,
) -> dict[str, Any]:
    config = checkpoint.tokenizer.config
    prefixes = trained_prefixes(config.num_tokens, config.nested_dropout)
    begin = checkpoint.policy.config.bos
    observations = [
        {key: value[i : i + 1].numpy() for key, value in examples.items()}
        for i in range(len(reference))
    ]
    tokens = np.concatenate([model.generate(o, begin, model.num_tokens) for o in observations])
    equal = (tokens == reference.numpy()).cumprod(1).mean(0)  # (R,)
    command = previous_command(checkpoint.tokenizer, examples)
    errors = {}
    for k in prefixes:
        truth = checkpoint.tokenizer.decode(reference, k, command).numpy()
        rows = zip(reference.numpy()[:, None], observations, strict=True)
        decoded = np.stack([model.decode(row, k, o) for row, o in rows])
        errors[str(k)] = _summary(np.abs(decoded - truth))
    agreement = {str(k): round(float(equal[k - 1]), 4) for k in prefixes}
    return {"token_agreement": agreement, "action_error_rad": errors}


def _summary(error: np.ndarray) -> dict[str, float]:
    figures = {"mean": error.mean(), "p99": np.quantile(error, 0.99), "max": error.max()}
    return {name: float(f"{value:.3g}") for name, value in figures.items()}
