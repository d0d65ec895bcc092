"""Action tokenizers: chunks of actions to tokens and back, whatever the method.

All work on batches in raw units: actions (B, H, D) in rad, features of the observation that a chunk
starts at (B, S, dim), tokens (B, T) int64 in ``[0, vocabulary)``. Where a method has sequences of
different lengths, ``end`` closes one and fills the row up to ``max_tokens``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

__all__ = ["ActionTokenizer", "PrefixError", "UndecodableError", "content_lengths"]


class UndecodableError(ValueError):
    """Tokens that stand for no chunk."""


class PrefixError(ValueError):
    """A prefix length that the method does not decode."""


class ActionTokenizer(Protocol):
    """``prefixes``: the lengths that decode to a whole chunk by themselves, () if none do."""

    vocabulary: int
    max_tokens: int
    end: int | None
    prefixes: tuple[int, ...]

    def encode(self, actions: Tensor, observation: Mapping[str, Tensor]) -> Tensor:
        """Chunks to tokens (B, max_tokens); many methods do not look at the observation."""

    def decode(self, tokens: Tensor, observation: Mapping[str, Tensor]) -> Tensor:
        """Whole sequences to chunks; raises UndecodableError if one of them stands for none."""

    def decode_prefix(self, tokens: Tensor, k: int, observation: Mapping[str, Tensor]) -> Tensor:
        """The first ``k`` tokens to chunks; raises PrefixError unless ``k`` is in ``prefixes``."""

    def is_decodable(self, tokens: Tensor) -> Tensor:
        """Which sequences stand for a chunk, (B,) bool."""


def content_lengths(tokens: Tensor, end: int | None) -> Tensor:
    """How many tokens of each row (B, T) come before ``end``, (B,) int64."""
    if end is None:
        return tokens.new_full((len(tokens),), tokens.shape[1])
    return (tokens == end).long().cummax(1).values.eq(0).sum(1)
