"""From demonstrations to a checkpoint: tokenizer first, then the policy over its tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import checkpoint as checkpoints
from models.checkpoint import Checkpoint
from models.dataset import Windows, load_windows, split_by_episode
from models.objectives import NextToken, Reconstruction, reconstruction_error_rad, spread
from models.observation import safe_name
from models.policy import OATPolicy
from models.recipes import Recipe
from models.tokenizer import OATTokenizer
from models.training import Objective, Progress, Schedule, Trainer

EXAMPLES = 256
"""Held-out observations that travel with the checkpoint."""

Report = Callable[[str, Progress], None]


def train_recipe(
    recipe: Recipe, data: Path, out: Path, resume: bool = False, report: Report | None = None
) -> Checkpoint:
    """Trains both models on a demonstrations file and writes the checkpoint to ``out``.

    The state of the training is kept in ``out``'s sibling ``NAME.training``; with ``resume`` it
    is continued, without it started anew. Raises ValueError for data that does not fit.
    """
    state = out.with_name(f"{out.name}.training")
    if not resume:
        for name in ("tokenizer", "policy"):
            (state / f"{name}.pt").unlink(missing_ok=True)
    windows = load_windows(
        data, list(recipe.features), recipe.policy.n_obs_steps, recipe.tokenizer.action_horizon
    )
    training, validation = split_by_episode(windows, recipe.held_out, recipe.seed)

    torch.manual_seed(recipe.seed)
    tokenizer = OATTokenizer(recipe.tokenizer)
    tokenizer.normalizer.fit(torch.cat([training.action, training.command(training.index)]))
    reconstruction = Reconstruction(
        training, validation, recipe.joint_weights, recipe.early_weight, recipe.command_noise
    )
    first = _train("tokenizer", tokenizer, reconstruction, recipe.tokenizer_schedule, state, report)

    torch.manual_seed(recipe.seed + 1)
    policy = OATPolicy(recipe.policy)
    _fit_normalizers(policy, training)
    next_token = NextToken(training, validation, tokenizer, recipe.observation_noise)
    second = _train("policy", policy, next_token, recipe.policy_schedule, state, report)

    facts = _facts(recipe, first, second, reconstruction_error_rad(tokenizer, validation))
    examples = spread(validation, EXAMPLES)
    observations = examples.observation(examples.index)
    result = Checkpoint(
        tokenizer, policy, facts, {key: observations[key] for key in recipe.features}
    )
    checkpoints.save(out, result)
    return result


def _train(
    name: str,
    model: nn.Module,
    objective: Objective,
    schedule: Schedule,
    state: Path,
    report: Report | None,
) -> Trainer:
    trainer = Trainer(model, objective, schedule)
    trainer.run(state / f"{name}.pt", None if report is None else lambda p: report(name, p))
    return trainer


def _fit_normalizers(policy: OATPolicy, training: Windows) -> None:
    for key in policy.config.features:
        policy.obs_encoder.normalizers[safe_name(key)].fit(training.features[key])


def _facts(
    recipe: Recipe, tokenizer: Trainer, policy: Trainer, reconstruction: Mapping[int, float]
) -> dict[str, Any]:
    """What a bundle and a reader need to know besides the sizes."""
    stages = {"tokenizer": tokenizer, "policy": policy}
    training = {
        "seed": recipe.seed,
        "demonstrations": recipe.demonstrations,
        "reconstruction_rms_rad": {str(k): round(v, 5) for k, v in reconstruction.items()},
        **{
            name: {
                "steps": trainer.step,
                "best_step": trainer.best_step,
                "validation": round(trainer.best_validation, 5),
                "schedule": asdict(trainer.schedule),
            }
            for name, trainer in stages.items()
        },
    }
    return {
        "name": recipe.name,
        "task": recipe.task,
        "rate_hz": recipe.rate_hz,
        "execution_horizon": recipe.execution_horizon,
        "features": {key: asdict(feature) for key, feature in recipe.features.items()},
        "action": asdict(recipe.action),
        "training": training,
    }
