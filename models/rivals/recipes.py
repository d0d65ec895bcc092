"""What each rival is trained as: the sizes and schedules beside those of a task's OAT recipe.

Widths and depths are those of the recipe's own networks. Batches are smaller where one example
costs more, so that the same compute still means a useful number of steps.
"""

from __future__ import annotations

from dataclasses import replace

from models.policy import PolicyConfig
from models.recipes import Recipe
from models.rivals.diffusion import DiffusionConfig
from models.rivals.mlp import MlpConfig
from models.tokenizers import ActionTokenizer
from models.tokenizers.binning import BinningConfig
from models.tokenizers.latent import LatentConfig
from models.training import Schedule

BATCH_SHARE = {"bin": 1 / 8, "fast": 1 / 2, "quest": 1, "vq": 1, "diffusion": 1 / 2, "mlp": 1}
"""Of the batch of the recipe's own policy."""
FAST_SAMPLE = 8192
"""Chunks that the byte-pair encoder is learned from."""


def policy_schedule(recipe: Recipe, kind: str) -> Schedule:
    """As the recipe's policy, with this rival's batch; the number of steps is set by compute."""
    batch = max(1, round(recipe.policy_schedule.batch_size * BATCH_SHARE[kind]))
    return replace(recipe.policy_schedule, batch_size=batch)


def binning_config(recipe: Recipe) -> BinningConfig:
    """256 bins over the recipe's chunk."""
    return BinningConfig(recipe.tokenizer.action_dim, recipe.tokenizer.action_horizon)


def latent_config(recipe: Recipe, kind: str) -> LatentConfig:
    """As many tokens, codes and layers as the recipe's OAT tokenizer, conditioned as it is."""
    oat = recipe.tokenizer
    return LatentConfig(
        action_dim=oat.action_dim,
        action_horizon=oat.action_horizon,
        num_tokens=oat.num_tokens,
        quantizer="vq" if kind == "vq" else "fsq",
        levels=oat.levels,
        dim=oat.dim,
        head_dim=oat.head_dim,
        encoder_depth=oat.encoder_depth,
        decoder_depth=oat.decoder_depth,
        conditioned_on_command=oat.conditioned_on_command,
        observed=oat.observed,
        observed_steps=oat.observed_steps,
    )


def token_policy_config(recipe: Recipe, tokenizer: ActionTokenizer) -> PolicyConfig:
    """The recipe's policy over another vocabulary and length."""
    return replace(
        recipe.policy, codebook_size=tokenizer.vocabulary, num_tokens=tokenizer.max_tokens
    )


def diffusion_config(recipe: Recipe) -> DiffusionConfig:
    """The recipe's policy's width, depth and heads."""
    oat = recipe.policy
    return DiffusionConfig(
        features=dict(oat.features),
        n_obs_steps=oat.n_obs_steps,
        action_dim=recipe.tokenizer.action_dim,
        action_horizon=recipe.tokenizer.action_horizon,
        dim=oat.dim,
        layers=oat.layers,
        heads=oat.heads,
        dropout=oat.dropout,
    )


def mlp_config(recipe: Recipe) -> MlpConfig:
    """Four times the recipe's policy's width: about as many weights as its transformer."""
    oat = recipe.policy
    return MlpConfig(
        features=dict(oat.features),
        n_obs_steps=oat.n_obs_steps,
        action_dim=recipe.tokenizer.action_dim,
        action_horizon=recipe.tokenizer.action_horizon,
        hidden=4 * oat.dim,
        dropout=oat.dropout,
    )
