"""The OAT tokenizer behind the protocol that its rivals share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.layers import trained_prefixes
from models.tokenizer import OATTokenizer
from models.tokenizers import PrefixError


class OrderedTokens:
    """Ordered tokens: every sequence decodes, and so does every prefix that was trained."""

    def __init__(self, tokenizer: OATTokenizer) -> None:
        config = tokenizer.config
        self.tokenizer = tokenizer
        self.vocabulary = config.codebook_size
        self.max_tokens = config.num_tokens
        self.end: int | None = None
        self.prefixes = tuple(trained_prefixes(config.num_tokens, config.nested_dropout))

    def encode(self, actions: Tensor, observation: Mapping[str, Tensor]) -> Tensor:
        """See ``ActionTokenizer``."""
        return self.tokenizer.encode(actions, observation)

    def decode(self, tokens: Tensor, observation: Mapping[str, Tensor]) -> Tensor:
        """See ``ActionTokenizer``; nothing is undecodable."""
        return self.tokenizer.decode(tokens, self.max_tokens, observation)

    def decode_prefix(self, tokens: Tensor, k: int, observation: Mapping[str, Tensor]) -> Tensor:
        """See ``ActionTokenizer``; untrained lengths decode too, without a promise of order."""
        if not 1 <= k <= self.max_tokens:
            raise PrefixError(f"k must be in 1..{self.max_tokens}, got {k}")
        missing = self.max_tokens - tokens.shape[1]
        padded = torch.nn.functional.pad(tokens, (0, max(0, missing)))
        return self.tokenizer.decode(padded, k, observation)

    def is_decodable(self, tokens: Tensor) -> Tensor:
        """All of them, (B,) bool."""
        return torch.ones(len(tokens), dtype=torch.bool)
