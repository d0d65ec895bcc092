"""One token per action dimension and step: uniform bins, as in RT-1 (arXiv 2212.06817)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.normalizer import Normalizer
from models.tokenizers import PrefixError


@dataclass(frozen=True)
class BinningConfig:
    """Sizes; ``bins`` divide each dimension's range in the data evenly."""

    action_dim: int = 7
    action_horizon: int = 32
    bins: int = 256


class BinningTokenizer(nn.Module):
    """A chunk as ``action_horizon * action_dim`` tokens, step by step; no prefix is a chunk."""

    def __init__(self, config: BinningConfig) -> None:
        super().__init__()
        self.config = config
        self.normalizer = Normalizer(config.action_dim)
        self.vocabulary = config.bins
        self.max_tokens = config.action_horizon * config.action_dim
        self.end: int | None = None
        self.prefixes: tuple[int, ...] = ()

    def fit(self, actions: Tensor) -> None:
        """Sets the ranges from actions (N, D) in rad."""
        self.normalizer.fit(actions)

    def encode(self, actions: Tensor, observation: Mapping[str, Tensor]) -> Tensor:
        """See ``ActionTokenizer``; an action outside the range falls into the outermost bin."""
        share = (self.normalizer(actions) + 1.0) / 2.0
        return (share * self.config.bins).floor().long().clamp(0, self.config.bins - 1).flatten(1)

    def decode(self, tokens: Tensor, observation: Mapping[str, Tensor]) -> Tensor:
        """See ``ActionTokenizer``: the centres of the bins."""
        c = self.config
        centres = (tokens + 0.5) / c.bins * 2.0 - 1.0
        return self.normalizer.inverse(centres.view(-1, c.action_horizon, c.action_dim))

    def decode_prefix(self, tokens: Tensor, k: int, observation: Mapping[str, Tensor]) -> Tensor:
        """Always raises PrefixError: the tokens of later steps are not in a prefix."""
        raise PrefixError(f"bins decode from all {self.max_tokens} tokens only, got k = {k}")

    def is_decodable(self, tokens: Tensor) -> Tensor:
        """All sequences of full length, (B,) bool."""
        return torch.full((len(tokens),), tokens.shape[1] == self.max_tokens)
