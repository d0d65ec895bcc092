"""From demonstrations to a checkpoint: tokenizer first, then the policy over its tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import checkpoint as checkpoints
from models import distributed
from models.checkpoint import Checkpoint
from models.condition import ConditionedTokenizer
from models.dataset import Windows, load_windows, split_by_episode
from models.objectives import (
    Expectation,
    NextToken,
    Reconstruction,
    reconstruction_error_rad,
    spread,
)
from models.policy import OATPolicy
from models.recipes import Recipe
from models.tokenizer import OATTokenizer
from models.tokenizers.ordered import OrderedTokens
from models.training import Objective, Progress, Schedule, Trainer

EXAMPLES = 256
"""Held-out observations that travel with the checkpoint."""

_TOKENIZER_STAGES = ("forecast", "tokenizer")

Report = Callable[[str, Progress], None]


def train_recipe(
    recipe: Recipe,
    data: Path,
    out: Path,
    resume: bool = False,
    report: Report | None = None,
    start: Checkpoint | None = None,
    keep_tokenizer: bool = True,
) -> Checkpoint:
    """Trains both models on a demonstrations file and writes the checkpoint to ``out``.

    The state of the training is kept in ``out``'s sibling ``NAME.training``; with ``resume`` it
    is continued, without it started anew. With ``start`` training begins with its weights, the
    tokenizer is not trained at all if ``keep_tokenizer``, and the facts tell of its training too.
    Raises ValueError for data that does not fit, and for a start of other sizes.
    """
    state = prepare_state(out, resume)
    training, validation = split_windows(recipe, data)
    tokenizer = _first_tokenizer(recipe, training, start)
    if start is None or not keep_tokenizer:
        stages = _train_tokenizer(tokenizer, recipe, training, validation, state, report)
    else:
        done = start.facts["training"]
        stages = {name: done[name] for name in _TOKENIZER_STAGES if name in done}
    ordered = OrderedTokens(tokenizer)
    policy = _first_policy(recipe, training, start)
    next_token = NextToken(training, validation, ordered, recipe.observation_noise)
    second = train_stage("policy", policy, next_token, recipe.policy_schedule, state, report)

    stages["policy"] = stage_facts(second)
    if start is not None:
        stages["started_from"] = start.facts["training"]
    facts = _facts(recipe, stages, reconstruction_error_rad(ordered, validation))
    examples = spread(validation, EXAMPLES)
    observations = examples.observation(examples.index)
    result = Checkpoint(
        tokenizer, policy, facts, {key: observations[key] for key in recipe.features}
    )
    if distributed.leads():
        checkpoints.save(out, result)
    distributed.wait()
    return checkpoints.load(out)


def _first_tokenizer(recipe: Recipe, training: Windows, start: Checkpoint | None) -> OATTokenizer:
    """What training begins with: random weights, or those of ``start`` with its normaliser."""
    torch.manual_seed(recipe.seed)
    if start is None:
        tokenizer = OATTokenizer(recipe.tokenizer)
        fit_condition(tokenizer, training)
        return tokenizer
    given, wanted = start.tokenizer.config, recipe.tokenizer
    if given != wanted:
        raise ValueError(f"the tokenizer to start from is {given}, the recipe's is {wanted}")
    return start.tokenizer


def _train_tokenizer(
    tokenizer: OATTokenizer,
    recipe: Recipe,
    training: Windows,
    validation: Windows,
    state: Path,
    report: Report | None,
) -> dict[str, Any]:
    """Trains in place, what it expects first, if it does; the facts of each stage."""
    settings = reconstruction_settings(recipe, training, validation)
    stages: dict[str, Any] = {}

    def train(name: str, objective: Objective, schedule: Schedule) -> None:
        stages[name] = stage_facts(train_stage(name, tokenizer, objective, schedule, state, report))

    if tokenizer.config.observed:
        expected = Expectation(training, validation, recipe.observation_noise)
        train("forecast", expected, recipe.forecast_schedule)
        tokenizer.forecast.requires_grad_(False)
    train("tokenizer", Reconstruction(*settings), recipe.tokenizer_schedule)
    return stages


def reconstruction_settings(
    recipe: Recipe, training: Windows, validation: Windows
) -> tuple[Windows, Windows, tuple[float, ...], float, float, float]:
    """The arguments of ``models.objectives.Reconstruction``, as the recipe has them."""
    noises = recipe.command_noise, recipe.observation_noise
    return training, validation, recipe.joint_weights, recipe.early_weight, *noises


def _first_policy(recipe: Recipe, training: Windows, start: Checkpoint | None) -> OATPolicy:
    """What training begins with: random weights, or those of ``start`` with its normalisers."""
    torch.manual_seed(recipe.seed + 1)
    policy = OATPolicy(recipe.policy)
    if start is None:
        policy.obs_encoder.fit(training.features)
        return policy
    try:
        policy.load_state_dict(start.policy.state_dict())
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"the policy to start from has other sizes: {reason}") from error
    return policy


def prepare_state(out: Path, resume: bool) -> Path:
    """The folder of a training's state beside ``out``; without ``resume``, stages start anew."""
    state = out.with_name(f"{out.name}.training")
    if not resume and distributed.leads():
        for name in (*_TOKENIZER_STAGES, "policy"):
            (state / f"{name}.pt").unlink(missing_ok=True)
    distributed.wait()
    return state


def split_windows(recipe: Recipe, data: Path) -> tuple[Windows, Windows]:
    """Training and held-out windows of a demonstrations file. Raises ValueError naming a fault."""
    windows = load_windows(
        data, list(recipe.features), recipe.policy.n_obs_steps, recipe.tokenizer.action_horizon
    )
    return split_by_episode(windows, recipe.held_out, recipe.seed)


def train_stage(
    name: str,
    model: nn.Module,
    objective: Objective,
    schedule: Schedule,
    state: Path,
    report: Report | None,
) -> Trainer:
    """Trains one model in place; goes on from ``state`` where it holds this stage."""
    trainer = Trainer(model, objective, schedule)
    trainer.run(state / f"{name}.pt", None if report is None else lambda p: report(name, p))
    return trainer


def fit_condition(tokenizer: ConditionedTokenizer, training: Windows) -> None:
    """Sets the ranges of actions and features from the data."""
    tokenizer.normalizer.fit(commanded(training))
    if tokenizer.config.observed:
        tokenizer.features.fit(training.features)


def commanded(training: Windows) -> torch.Tensor:
    """All references that may be decoded or conditioned on, (N, D)."""
    return torch.cat([training.action, training.command(training.index)])


def recipe_facts(recipe: Recipe) -> dict[str, Any]:
    """What a bundle and a reader need to know of the task besides the sizes."""
    return {
        "name": recipe.name,
        "task": recipe.task,
        "rate_hz": recipe.rate_hz,
        "execution_horizon": recipe.execution_horizon,
        "features": {key: asdict(feature) for key, feature in recipe.features.items()},
        "action": asdict(recipe.action),
    }


def stage_facts(trainer: Trainer) -> dict[str, Any]:
    """How long a stage was trained, how, and how well it ended."""
    return {
        "steps": trainer.step,
        "best_step": trainer.best_step,
        "validation": round(trainer.best_validation, 5),
        "schedule": asdict(trainer.schedule),
    }


def rounded(errors: Mapping[int, float]) -> dict[str, float]:
    """Errors by prefix length as JSON values."""
    return {str(k): round(error, 5) for k, error in errors.items()}


def _facts(
    recipe: Recipe, stages: Mapping[str, Any], reconstruction: Mapping[int, float]
) -> dict[str, Any]:
    training = {
        "seed": recipe.seed,
        "demonstrations": recipe.demonstrations,
        "reconstruction_rms_rad": rounded(reconstruction),
        **stages,
    }
    return recipe_facts(recipe) | {"training": training}
