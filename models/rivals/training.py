"""Trains a rival on the data and the compute of a task's OAT recipe.

The compute is counted by ``models.compute``. A learned tokenizer gets the same share of it as the
recipe's own; fitting bins and byte pairs costs no matrix product and is not counted.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from models import distributed
from models.compute import TERA, step_operations
from models.objectives import (
    Expectation,
    LatentReconstruction,
    NextToken,
    Regression,
    reconstruction_error_rad,
    spread,
)
from models.pipeline import (
    Report,
    commanded,
    fit_condition,
    prepare_state,
    recipe_facts,
    reconstruction_settings,
    rounded,
    split_windows,
    stage_facts,
    train_stage,
)
from models.policy import OATPolicy
from models.recipes import Recipe
from models.rivals import checkpoint as checkpoints
from models.rivals import recipes
from models.rivals.budget import recipe_budget
from models.rivals.checkpoint import TOKENIZERS, Rival
from models.rivals.diffusion import DiffusionPolicy
from models.rivals.mlp import ChunkMlp
from models.rivals.objectives import Denoising
from models.tokenizers.binning import BinningTokenizer
from models.tokenizers.fast import fit_fast
from models.tokenizers.latent import LatentTokenizer
from models.training import Objective, Schedule, Trainer, within


class Workshop:
    """One rival's training: data, budget, where its state is kept, and what was done so far."""

    def __init__(
        self,
        recipe: Recipe,
        kind: str,
        data: Path,
        state: Path,
        compute: float,
        report: Report | None,
    ) -> None:
        self.recipe, self.kind, self.state, self.report = recipe, kind, state, report
        self.training, self.validation = split_windows(recipe, data)
        self.budget = recipe_budget(recipe, self.training, self.validation).times(compute)
        self.stages: dict[str, Trainer] = {}
        self.spent = 0.0

    def train(
        self, stage: str, model: nn.Module, objective: Objective, schedule: Schedule, pays: float
    ) -> None:
        """Trains for the steps that ``pays`` operations buy."""
        step = step_operations(model, objective, schedule.batch_size)
        trainer = train_stage(
            stage, model, objective, within(schedule, pays / step), self.state, self.report
        )
        self.stages[stage] = trainer
        self.spent += step * trainer.step

    def build(self) -> tuple[nn.Module, nn.Module | None]:
        """The trained network and tokenizer."""
        if self.kind not in TOKENIZERS:
            return self._direct(), None
        torch.manual_seed(self.recipe.seed)
        tokenizer = self._tokenizer()
        torch.manual_seed(self.recipe.seed + 1)
        network = OATPolicy(recipes.token_policy_config(self.recipe, tokenizer))
        network.obs_encoder.fit(self.training.features)
        learned = "tokenizer" in self.stages
        pays = self.budget.policy if learned else self.budget.total
        surprise = NextToken(
            self.training, self.validation, tokenizer, self.recipe.observation_noise
        )
        self.train("policy", network, surprise, self._policy_schedule, pays)
        return network, tokenizer

    @property
    def _policy_schedule(self) -> Schedule:
        return recipes.policy_schedule(self.recipe, self.kind)

    def _tokenizer(self) -> nn.Module:
        if self.kind == "fast":
            sample = spread(self.training, recipes.FAST_SAMPLE)
            return fit_fast(self.training.action, sample.chunk(sample.index)).eval()
        if self.kind == "bin":
            binning = BinningTokenizer(recipes.binning_config(self.recipe))
            binning.fit(self.training.action)
            return binning.eval()
        tokenizer = LatentTokenizer(recipes.latent_config(self.recipe, self.kind))
        fit_condition(tokenizer, self.training)
        recipe, budget = self.recipe, self.budget
        settings = reconstruction_settings(recipe, self.training, self.validation)
        if tokenizer.config.observed:
            expected = Expectation(self.training, self.validation, recipe.observation_noise)
            self.train("forecast", tokenizer, expected, recipe.forecast_schedule, budget.forecast)
            tokenizer.forecast.requires_grad_(False)
        error = LatentReconstruction(*settings)
        self.train("tokenizer", tokenizer, error, recipe.tokenizer_schedule, budget.tokenizer)
        return tokenizer

    def _direct(self) -> nn.Module:
        torch.manual_seed(self.recipe.seed + 1)
        noise = self.recipe.observation_noise
        objective: Objective
        network: DiffusionPolicy | ChunkMlp
        if self.kind == "diffusion":
            network = DiffusionPolicy(recipes.diffusion_config(self.recipe))
            objective = Denoising(self.training, self.validation, noise)
        else:
            network = ChunkMlp(recipes.mlp_config(self.recipe))
            objective = Regression(self.training, self.validation, noise)
        network.normalizer.fit(commanded(self.training))
        network.obs_encoder.fit(self.training.features)
        self.train("policy", network, objective, self._policy_schedule, self.budget.total)
        return network


def train_rival(
    recipe: Recipe,
    kind: str,
    data: Path,
    out: Path,
    compute: float = 1.0,
    resume: bool = False,
    report: Report | None = None,
) -> Rival:
    """Trains a rival for ``compute`` times the compute of the recipe and writes it to ``out``.

    Resumes as ``models.pipeline.train_recipe`` does. Raises ValueError for data that does not fit.
    """
    shop = Workshop(recipe, kind, data, prepare_state(out, resume), compute, report)
    network, tokenizer = shop.build()
    training = {
        "seed": recipe.seed,
        "demonstrations": recipe.demonstrations,
        "compute": compute,
        "teraflop_allowed": round(shop.budget.total / TERA, 3),
        "teraflop_spent": round(shop.spent / TERA, 3),
        **{name: stage_facts(trainer) for name, trainer in shop.stages.items()},
    }
    if tokenizer is not None:
        errors = reconstruction_error_rad(tokenizer, shop.validation)
        training["reconstruction_rms_rad"] = rounded(errors)
    rival = Rival(kind, network, tokenizer, recipe_facts(recipe) | {"training": training})
    if distributed.leads():
        checkpoints.save(out, rival)
    distributed.wait()
    return checkpoints.load(out)
