"""What tokens buy: reconstruction by how many of them, and how many a chunk takes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from models.dataset import Windows, make_windows
from models.objectives import encode_all, spread
from models.policy import PolicyConfig
from models.recipes import Recipe
from models.rivals.recipes import binning_config
from models.tasks import get_task
from models.tokenizers import content_lengths
from models.tokenizers.binning import BinningTokenizer
from models.tokenizers.fast import fit_fast
from models.tokenizers.ordered import OrderedTokens

UNSEEN_SEED = 1_000_003
"""Of demonstrations to measure on; no recipe trains on it."""

MEASURED_WINDOWS = 2048
LEARNED = ("oat", "quest", "vq")


@dataclass(frozen=True)
class Lengths:
    """Tokens of a chunk by one method: the mean, the fewest and the most, the end not counted."""

    mean: float
    fewest: int
    most: int


def unseen_windows(task: str, policy: PolicyConfig, horizon: int, count: int) -> Windows:
    """Windows of ``count`` fresh demonstrations, observed as the policy observes."""
    return demonstrated_windows(task, policy, horizon, count, UNSEEN_SEED)


def demonstrated_windows(
    task: str, policy: PolicyConfig, horizon: int, count: int, seed: int
) -> Windows:
    """The same of any seed."""
    arrays = get_task(task).generate(count, seed).arrays()
    return make_windows(arrays, list(policy.features), policy.n_obs_steps, horizon)


@torch.no_grad()
def error_by_tokens(tokenizer: OrderedTokens, windows: Windows) -> dict[int, float]:
    """Root mean square error over joints and steps, action units, from 1 to all tokens.

    Lengths that nested dropout did not train are measured too: the order that was not promised.
    """
    few = spread(windows, MEASURED_WINDOWS)
    chunk, observation = few.chunk(few.index), few.observation(few.index)
    tokens = encode_all(tokenizer, few)
    decoded = {
        k: tokenizer.decode_prefix(tokens, k, observation)
        for k in range(1, tokenizer.max_tokens + 1)
    }
    return {k: float((d - chunk).square().mean().sqrt()) for k, d in decoded.items()}


def chunk_lengths(recipe: Recipe, learned_on: Windows, measured_on: Windows) -> dict[str, Lengths]:
    """Tokens that every tokenizer takes for a chunk; FAST's byte pairs learned on other data."""
    fixed = recipe.tokenizer.num_tokens
    binning = BinningTokenizer(binning_config(recipe)).max_tokens
    fast = fit_fast(learned_on.action, learned_on.chunk(learned_on.index)).eval()
    few = spread(measured_on, MEASURED_WINDOWS)
    lengths = content_lengths(encode_all(fast, few), fast.end)
    return {
        **{name: Lengths(fixed, fixed, fixed) for name in LEARNED},
        "bin": Lengths(binning, binning, binning),
        "fast": Lengths(
            round(float(lengths.double().mean()), 1), int(lengths.min()), int(lengths.max())
        ),
    }
