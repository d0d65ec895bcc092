"""What a tokenizer knows of the moment besides the chunk: nothing, the previous command, or all.

A chunk's tokens need to say only what that leaves open. Encoder and decoder know the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from models.dataset import COMMAND_KEY
from models.normalizer import Normalizer
from models.observation import FeatureNormalizer

OFFSET_GAIN = 3.0
"""Of offsets from the command: within a chunk it moves by about a third of an action's range."""
_WIDENING = 4
"""Of the hidden layer that an observation passes, as in the blocks of a transformer."""


class ConditionConfig(Protocol):
    """Of a tokenizer: what it is conditioned on, and its sizes."""

    action_dim: int
    dim: int
    conditioned_on_command: bool
    observed: dict[str, int]
    observed_steps: int


class Condition(NamedTuple):
    """What a chunk is seen from, normalised: command (B, D), and what is embedded (B, F)."""

    command: Tensor
    features: Tensor

    def blurred(self, noise: Tensor | float) -> Condition:
        """With normally distributed noise on what is embedded."""
        return self._replace(features=self.features + noise * torch.randn_like(self.features))


class Conditioned(nn.Module):
    """An encoder or decoder that embeds the condition, if it has one."""

    def __init__(self, config: ConditionConfig) -> None:
        super().__init__()
        if config.observed:
            self.condition_emb: nn.Module = _observation_embedding(config)
        elif config.conditioned_on_command:
            self.condition_emb = nn.Linear(config.action_dim, config.dim)

    def embed(self, condition: Condition) -> Tensor:
        """The condition as one token (B, 1, C)."""
        return self.condition_emb(condition.features)[:, None]


class ConditionedTokenizer(nn.Module):
    """Normalises actions and condition alike; the base of the tokenizers that are learned."""

    config: Any

    def __init__(self, config: ConditionConfig) -> None:
        super().__init__()
        self.config = config
        self.normalizer = Normalizer(config.action_dim)
        if config.observed:
            self.features = FeatureNormalizer(config.observed)

    def condition(self, observation: Mapping[str, Tensor] | None) -> Condition | None:
        """Of raw features (B, S, dim) what is asked for, normalised; None if nothing is.

        Raises ValueError if a feature is asked for and not given.
        """
        config: ConditionConfig = self.config
        if not config.conditioned_on_command:
            return None
        given = {} if observation is None else observation
        missing = [key for key in (COMMAND_KEY, *config.observed) if key not in given]
        if missing:
            raise ValueError(f"this tokenizer is conditioned on {missing[0]}, which is not given")
        command = self.normalizer(given[COMMAND_KEY][:, -1])
        if not config.observed:
            return Condition(command, command)
        return Condition(command, self.features.normalise(given).flatten(1))

    def offsets(self, chunk: Tensor, condition: Condition | None) -> Tensor:
        """A normalised chunk (B, H, D) as the networks see it: from the command, if observed."""
        if condition is None or not self.config.observed:
            return chunk
        return (chunk - condition.command[:, None]) * OFFSET_GAIN

    def absolute(self, offsets: Tensor, condition: Condition | None) -> Tensor:
        """The normalised chunk (B, H, D) of what the networks made."""
        if condition is None or not self.config.observed:
            return offsets
        return condition.command[:, None] + offsets / OFFSET_GAIN


def check_condition(config: ConditionConfig) -> None:
    """Raises ValueError for an observation without the previous command, which chunks start at."""
    if config.observed and not config.conditioned_on_command:
        raise ValueError("a tokenizer that sees the observation is conditioned on the command too")


def _observation_embedding(config: ConditionConfig) -> nn.Sequential:
    size, hidden = config.observed_steps * sum(config.observed.values()), _WIDENING * config.dim
    return nn.Sequential(nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, config.dim))
