"""Learned tokens without an order: QueST's (Mete et al. 2024, arXiv 2407.15840), and a VQ variant.

Strided causal convolutions shorten the chunk to one latent per token, a causal transformer mixes
them, FSQ or a learned codebook quantizes them. The decoder's queries, one per step, attend to all
codes. Sizes and conditioning are those of the OAT tokenizer, so that order is what differs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.condition import Condition, Conditioned, ConditionedTokenizer, check_condition
from models.fsq import FSQ
from models.layers import EncoderBlock, Head, Positions
from models.tokenizer import TokenizerConfig, decoder_layers
from models.tokenizers import PrefixError
from models.tokenizers.vector_quantizer import VectorQuantizer

_KERNEL = 5
_STRIDE = 2


@dataclass(frozen=True)
class LatentConfig:
    """Sizes; ``levels`` are FSQ's, and their product is the size of the learned codebook too."""

    action_dim: int = 7
    action_horizon: int = 32
    num_tokens: int = 8
    quantizer: Literal["fsq", "vq"] = "fsq"
    levels: tuple[int, ...] = (8, 5, 5, 5)
    vector_dim: int = 8
    dim: int = 64
    head_dim: int = 32
    encoder_depth: int = 2
    decoder_depth: int = 4
    conditioned_on_command: bool = True
    observed: dict[str, int] = field(default_factory=dict)
    observed_steps: int = 2

    def __post_init__(self) -> None:
        check_condition(self)
        if self.num_tokens * _STRIDE**self.halvings != self.action_horizon:
            raise ValueError(
                f"action_horizon {self.action_horizon} is not {self.num_tokens} tokens "
                "times a power of two"
            )

    @property
    def halvings(self) -> int:
        """How many convolutions of stride two shorten a chunk to its tokens."""
        return round(math.log2(self.action_horizon / self.num_tokens))


class CausalConvolution(nn.Module):
    """Halves the number of steps; an output sees its own steps and earlier ones."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_dim, out_dim, _KERNEL, _STRIDE)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, T) to (B, C', T / 2)."""
        # Padding on the left alone, so that output t ends at input step 2 t + 1.
        return functional.gelu(self.conv(functional.pad(x, (_KERNEL - _STRIDE, 0))))


class LatentEncoder(Conditioned):
    """A normalised chunk to one latent per token."""

    mask: Tensor

    def __init__(self, config: LatentConfig, out_dim: int) -> None:
        super().__init__(config)
        dims = [config.action_dim, *[config.dim] * config.halvings]
        self.convolutions = nn.Sequential(*(CausalConvolution(a, b) for a, b in pairwise(dims)))
        self.lift = nn.Identity() if config.halvings else nn.Linear(config.action_dim, config.dim)
        self.positions = Positions(config.dim, config.num_tokens)
        depth = range(config.encoder_depth)
        self.blocks = nn.ModuleList(EncoderBlock(config.dim, config.head_dim, 0.0) for _ in depth)
        self.head = Head(config.dim, out_dim)
        mask = torch.ones(config.num_tokens, config.num_tokens, dtype=torch.bool).tril()
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, chunk: Tensor, condition: Condition | None) -> Tensor:
        """Chunk (B, H, D), or its departure, to latents (B, T, out_dim)."""
        x = self.lift(self.convolutions(chunk.transpose(1, 2)).transpose(1, 2)) + self.positions()
        if condition is not None:
            x = x + self.embed(condition)
        for block in self.blocks:
            x = block(x, self.mask)
        return self.head(x)


class LatentDecoder(Conditioned):
    """Codes to a normalised chunk or its departure: one query per step, causal among themselves."""

    mask: Tensor

    def __init__(self, config: LatentConfig, code_dim: int) -> None:
        super().__init__(config)
        self.queries = Positions(config.dim, config.action_horizon)
        self.positions = Positions(config.dim, config.num_tokens)
        self.lift = nn.Linear(code_dim, config.dim)
        sizes = TokenizerConfig(
            action_horizon=config.action_horizon,
            patch=config.action_horizon,
            dim=config.dim,
            head_dim=config.head_dim,
            decoder_depth=config.decoder_depth,
        )
        self.layers = decoder_layers(sizes)
        self.head = Head(config.dim, config.action_dim)
        horizon = config.action_horizon
        mask = torch.full((horizon, horizon), -torch.inf).triu(1)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, codes: Tensor, condition: Condition | None) -> Tensor:
        """Codes (B, T, code_dim) to (B, H, D)."""
        memory = self.lift(codes) + self.positions()
        if condition is not None:
            memory = torch.cat([memory, self.embed(condition)], 1)
        x = self.queries().expand(len(codes), -1, -1)
        for layer in self.layers:
            x = layer(x, memory, tgt_mask=self.mask, tgt_is_causal=True)
        return self.head(x)


class LatentTokenizer(ConditionedTokenizer):
    """``ActionTokenizer`` of learned tokens, all needed at once."""

    config: LatentConfig

    def __init__(self, config: LatentConfig) -> None:
        super().__init__(config)
        self.quantizer = _quantizer(config)
        self.encoder = LatentEncoder(config, self.quantizer.dim)
        self.decoder = LatentDecoder(config, self.quantizer.dim)
        self.vocabulary = self.quantizer.codebook_size
        self.max_tokens = config.num_tokens
        self.end: int | None = None
        self.prefixes: tuple[int, ...] = ()

    def forward(self, chunk: Tensor, condition: Condition | None) -> tuple[Tensor, Tensor]:
        """A normalised chunk (B, H, D) reconstructed, and the quantizer's penalty."""
        latents = self.encoder(self.departure(chunk, condition), condition)
        decoded = self.decoder(self.quantizer(latents), condition)
        return self.arrival(decoded, condition), self.quantizer.penalty(latents)

    def encode(self, actions: Tensor, observation: Mapping[str, Tensor]) -> Tensor:
        """See ``ActionTokenizer``."""
        condition = self.condition(observation)
        latents = self.encoder(self.departure(self.normalizer(actions), condition), condition)
        return self.quantizer.indices(self.quantizer(latents))

    def decode(self, tokens: Tensor, observation: Mapping[str, Tensor]) -> Tensor:
        """See ``ActionTokenizer``; nothing is undecodable, and the data's range is kept."""
        condition = self.condition(observation)
        chunk = self.decoder(self.quantizer.codes(tokens), condition)
        return self.normalizer.inverse(self.arrival(chunk, condition))

    def decode_prefix(self, tokens: Tensor, k: int, observation: Mapping[str, Tensor]) -> Tensor:
        """Always raises PrefixError: no prefix was trained."""
        raise PrefixError(f"these tokens decode from all {self.max_tokens} only, got k = {k}")

    def is_decodable(self, tokens: Tensor) -> Tensor:
        """All sequences of full length, (B,) bool."""
        return torch.full((len(tokens),), tokens.shape[1] == self.max_tokens)


def _quantizer(config: LatentConfig) -> FSQ | VectorQuantizer:
    if config.quantizer == "fsq":
        return FSQ(config.levels)
    return VectorQuantizer(math.prod(config.levels), config.vector_dim)
