"""The compute of a task's OAT recipe, which its rivals may spend too."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import torch
from torch import nn

from models.compute import step_operations
from models.dataset import Windows
from models.objectives import Expectation, NextToken, Reconstruction, spread
from models.pipeline import reconstruction_settings
from models.policy import OATPolicy
from models.recipes import Recipe
from models.tokenizer import OATTokenizer
from models.tokenizers.ordered import OrderedTokens
from models.training import Objective, Schedule

_COUNTED_WINDOWS = 512


@dataclass(frozen=True)
class Budget:
    """Operations for what a tokenizer expects, for the tokenizer itself and for a policy."""

    forecast: float
    tokenizer: float
    policy: float

    @property
    def total(self) -> float:
        return self.forecast + self.tokenizer + self.policy

    def times(self, factor: float) -> Budget:
        """As many times as much of each."""
        return Budget(*(factor * part for part in astuple(self)))


def recipe_budget(recipe: Recipe, training: Windows, validation: Windows) -> Budget:
    """What the recipe's own trainings cost, in operations."""
    few = spread(training, _COUNTED_WINDOWS)
    with torch.random.fork_rng(devices=[]):
        tokenizer = OATTokenizer(recipe.tokenizer)
        settings = reconstruction_settings(recipe, few, validation)
        forecast = 0.0
        if recipe.tokenizer.observed:
            expected = Expectation(few, validation, recipe.observation_noise)
            forecast = _cost(tokenizer, expected, recipe.forecast_schedule)
            tokenizer.forecast.requires_grad_(False)
        policy = OATPolicy(recipe.policy)
        second = NextToken(few, few, OrderedTokens(tokenizer), recipe.observation_noise)
        return Budget(
            forecast,
            _cost(tokenizer, Reconstruction(*settings), recipe.tokenizer_schedule),
            _cost(policy, second, recipe.policy_schedule),
        )


def _cost(model: nn.Module, objective: Objective, schedule: Schedule) -> float:
    return step_operations(model, objective, schedule.batch_size) * schedule.steps
