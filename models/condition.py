"""What a tokenizer knows of the moment besides the chunk: nothing, the previous command, or all.

A chunk's tokens need to say only what that leaves open. Encoder and decoder know the same. Where
they see the observation, a forecast is made of it first, and tokens tell how the chunk departs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from models.dataset import COMMAND_KEY
from models.layers import residual_block
from models.normalizer import Normalizer
from models.observation import FeatureNormalizer, blurred

DEPARTURE_GAIN = 3.0
"""Of how a chunk departs from the expected one: by a small part of an action's range."""
_WIDENING = 4
"""Of the hidden layer that an observation passes, as in the blocks of a transformer."""
_FORECAST_DIM = 256
_FORECAST_BLOCKS = 2


class ConditionConfig(Protocol):
    """Of a tokenizer: what it is conditioned on, and its sizes."""

    action_dim: int
    action_horizon: int
    dim: int
    conditioned_on_command: bool
    observed: dict[str, int]
    observed_steps: int


class Condition(NamedTuple):
    """What a chunk is seen from, normalised.

    ``features`` (B, F) are embedded. ``expected`` (B, H, D) is the chunk that they let expect, if
    they are the observation's; the networks then see and make what departs from it.
    """

    features: Tensor
    expected: Tensor | None = None


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


class Forecast(nn.Module):
    """The chunk that an observation alone lets expect, by regression.

    It is trained first (``models.objectives.Expectation``), and learns no more while tokens learn
    to tell what it leaves open.
    """

    def __init__(self, config: ConditionConfig) -> None:
        super().__init__()
        self.shape = config.action_horizon, config.action_dim
        self.enter = nn.Linear(_observation_size(config), _FORECAST_DIM)
        blocks = (residual_block(_FORECAST_DIM, dropout=0.0) for _ in range(_FORECAST_BLOCKS))
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(_FORECAST_DIM)
        self.leave = nn.Linear(_FORECAST_DIM, math.prod(self.shape))

    def forward(self, features: Tensor) -> Tensor:
        """Normalised features (B, F) to a normalised chunk (B, H, D)."""
        x = self.enter(features)
        for block in self.blocks:
            x = x + block(x)
        return self.leave(self.norm(x)).unflatten(1, self.shape)


class ConditionedTokenizer(nn.Module):
    """Normalises actions and condition alike; the base of the tokenizers that are learned."""

    config: Any

    def __init__(self, config: ConditionConfig) -> None:
        super().__init__()
        self.config = config
        self.normalizer = Normalizer(config.action_dim)
        if config.observed:
            self.features = FeatureNormalizer(config.observed)
            self.forecast = Forecast(config)

    def condition(
        self, observation: Mapping[str, Tensor] | None, noise: Tensor | float = 0.0
    ) -> Condition | None:
        """Of raw features (B, S, dim) what is asked for, normalised; None if nothing is.

        ``noise``: the deviation of what blurs the features. Raises ValueError if a feature is asked
        for and not given.
        """
        config: ConditionConfig = self.config
        seen = (COMMAND_KEY,) if config.conditioned_on_command else tuple(config.observed)
        if not seen:
            return None
        given = {} if observation is None else observation
        missing = [key for key in seen if key not in given]
        if missing:
            raise ValueError(f"this tokenizer is conditioned on {missing[0]}, which is not given")
        if not config.observed:
            return Condition(blurred(self.normalizer(given[COMMAND_KEY][:, -1]), noise))
        features = blurred(self.features.normalise(given).flatten(1), noise)
        return Condition(features, self.forecast(features))

    def departure(self, chunk: Tensor, condition: Condition | None) -> Tensor:
        """What the networks see of a normalised chunk (B, H, D)."""
        if condition is None or condition.expected is None:
            return chunk
        return (chunk - condition.expected) * DEPARTURE_GAIN

    def arrival(self, departure: Tensor, condition: Condition | None) -> Tensor:
        """The normalised chunk (B, H, D) of what the networks made."""
        if condition is None or condition.expected is None:
            return departure
        return condition.expected + departure / DEPARTURE_GAIN


def check_condition(config: ConditionConfig) -> None:
    """Raises ValueError for the previous command beside the observation, which may hold it."""
    if config.observed and config.conditioned_on_command:
        raise ValueError("a tokenizer is conditioned on the command or on the observation")


def _observation_embedding(config: ConditionConfig) -> nn.Sequential:
    size, hidden = _observation_size(config), _WIDENING * config.dim
    return nn.Sequential(nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, config.dim))


def _observation_size(config: ConditionConfig) -> int:
    return config.observed_steps * sum(config.observed.values())
