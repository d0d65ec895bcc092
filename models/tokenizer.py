"""The OAT action tokenizer (arXiv 2602.04215): register encoder, FSQ, causal decoder.

Three variants share the class. The paper's sees the chunk alone. With ``conditioned_on_command``
the previous command is added to the encoder's inputs and is one more memory token of the
decoder: chunks then join the motion already under way, and a single token is usable. With
``observed`` features the whole observation takes that place, and what is encoded and decoded is
how a chunk departs from the one that a regression expects: tokens then tell only what the
observation leaves open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from models.condition import Condition, Conditioned, ConditionedTokenizer, check_condition
from models.fsq import FSQ
from models.layers import DropoutMode, EncoderBlock, Head, NestedDropout, Patches, Positions


@dataclass(frozen=True)
class TokenizerConfig:
    """Sizes of a tokenizer; ``patch`` is in steps, ``dropout`` a probability.

    ``observed``: features of the observation that condition it, by dimension, and of how many
    steps each; they take the place of ``conditioned_on_command``, never stand beside it.
    ``decoder_dim`` and ``decoder_head_dim``: the encoder's where they are not given. ``clamp``:
    decoded actions are clamped to the normaliser's range; published checkpoints are not.
    """

    action_dim: int = 7
    action_horizon: int = 32
    num_tokens: int = 8
    levels: tuple[int, ...] = (8, 5, 5, 5)
    dim: int = 64
    head_dim: int = 32
    encoder_depth: int = 2
    decoder_depth: int = 4
    patch: int = 8
    dropout: float = 0.0
    nested_dropout: DropoutMode = "pow2"
    causal_decoder: bool = True
    conditioned_on_command: bool = True
    observed: dict[str, int] = field(default_factory=dict)
    observed_steps: int = 2
    decoder_dim: int | None = None
    decoder_head_dim: int | None = None
    clamp: bool = True

    def __post_init__(self) -> None:
        if self.action_horizon % self.patch:
            raise ValueError(
                f"patch {self.patch} does not divide action_horizon {self.action_horizon}"
            )
        if self.dim % self.head_dim:
            raise ValueError(f"head_dim {self.head_dim} does not divide dim {self.dim}")
        check_condition(self)
        if (self.decoder_dim, self.decoder_head_dim) != (None, None):
            self.for_decoder()

    @property
    def codebook_size(self) -> int:
        return math.prod(self.levels)

    def for_decoder(self) -> TokenizerConfig:
        """The same with the decoder's sizes as ``dim`` and ``head_dim``."""
        return replace(
            self,
            dim=self.decoder_dim or self.dim,
            head_dim=self.decoder_head_dim or self.head_dim,
            decoder_dim=None,
            decoder_head_dim=None,
        )


class RegisterEncoder(Conditioned):
    """A normalised chunk to one continuous latent per register."""

    mask: Tensor

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__(config)
        patches = config.action_horizon // config.patch
        self.registers = nn.Parameter(torch.randn(config.num_tokens, config.dim))
        self.sample_emb = Patches(config.action_dim, config.patch, config.dim)
        self.pos_emb = Positions(config.dim, patches)
        self.transformer = nn.ModuleDict({"blocks": _encoder_blocks(config)})
        self.head = Head(config.dim, len(config.levels))
        mask = register_mask(patches, config.num_tokens)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, chunk: Tensor, condition: Condition | None) -> Tensor:
        """Chunk (B, H, D), or its departure, to latents (B, R, len(levels))."""
        x = self.sample_emb(chunk) + self.pos_emb()  # (B, P, C)
        if condition is not None:
            x = x + self.embed(condition)
        registers = self.registers.expand(len(x), -1, -1)  # (B, R, C)
        x = torch.cat([x, registers], 1)  # (B, P + R, C)
        for block in self.transformer["blocks"]:
            x = block(x, self.mask)
        return self.head(x[:, -registers.shape[1] :])


class ChunkDecoder(Conditioned):
    """Codes to a normalised chunk or its departure: a query per step attends to embeddings."""

    mask: Tensor | None

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__(config)
        self.sample_pos_emb = Positions(config.dim, config.action_horizon)
        self.latent_pos_emb = Positions(config.dim, config.num_tokens)
        self.nested_dropout = NestedDropout(config.dim, config.num_tokens, config.nested_dropout)
        self.latent_proj = nn.ModuleDict({"proj": nn.Linear(len(config.levels), config.dim)})
        self.decoder = nn.ModuleDict({"layers": decoder_layers(config)})
        self.head = Head(config.dim, config.action_dim)
        horizon = config.action_horizon
        mask = torch.full((horizon, horizon), -torch.inf).triu(1) if config.causal_decoder else None
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, codes: Tensor, keep: Tensor, condition: Condition | None) -> Tensor:
        """Codes (B, R, len(levels)), of which keep (B,) count, to (B, H, D)."""
        memory = self.memory(codes, keep, condition)
        x = self.sample_pos_emb().expand(len(codes), -1, -1)  # (B, H, C)
        for layer in self.decoder["layers"]:
            x = layer(x, memory, tgt_mask=self.mask, tgt_is_causal=self.mask is not None)
        return self.head(x)

    def memory(self, codes: Tensor, keep: Tensor, condition: Condition | None) -> Tensor:
        """What the queries attend to: (B, R, C), or (B, R + 1, C) with the condition last."""
        latents = self.latent_proj["proj"](codes) + self.latent_pos_emb()
        latents = self.nested_dropout(latents, keep)
        if condition is None:
            return latents
        return torch.cat([latents, self.embed(condition)], 1)


class OATTokenizer(ConditionedTokenizer):
    """Action chunks in rad to ordered tokens, and any prefix of tokens back to a chunk."""

    config: TokenizerConfig

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__(config)
        self.encoder = RegisterEncoder(config)
        self.quantizer = FSQ(config.levels)
        self.decoder = ChunkDecoder(config.for_decoder())

    def forward(self, chunk: Tensor, condition: Condition | None) -> Tensor:
        """Reconstructs a normalised chunk (B, H, D) under a random nested dropout."""
        keep = self.decoder.nested_dropout.draw(len(chunk))
        return self.reconstruct(self.codes(chunk, condition), keep, condition)

    def codes(self, chunk: Tensor, condition: Condition | None) -> Tensor:
        """A normalised chunk (B, H, D) to codes (B, R, len(levels))."""
        return self.quantizer(self.encoder(self.departure(chunk, condition), condition))

    def reconstruct(self, codes: Tensor, keep: Tensor, condition: Condition | None) -> Tensor:
        """The first keep (B,) codes to a normalised chunk (B, H, D)."""
        return self.arrival(self.decoder(codes, keep, condition), condition)

    def encode(self, actions: Tensor, observation: Mapping[str, Tensor] | None = None) -> Tensor:
        """Actions (B, H, D) in rad to tokens (B, R) int64.

        ``observation``: raw features (B, S, dim), those at least that it is conditioned on.
        """
        condition = self.condition(observation)
        return self.quantizer.indices(self.codes(self.normalizer(actions), condition))

    def decode(
        self, tokens: Tensor, prefix: int, observation: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """The first ``prefix`` of tokens (B, R) to actions (B, H, D) in rad."""
        if not 0 <= prefix <= self.config.num_tokens:
            raise ValueError(f"prefix must be in 0..{self.config.num_tokens}, got {prefix}")
        keep = torch.full((len(tokens),), prefix)
        codes, condition = self.quantizer.codes(tokens), self.condition(observation)
        chunk = self.reconstruct(codes, keep, condition)
        return self.normalizer.inverse(chunk, self.config.clamp)


def register_mask(patches: int, registers: int) -> Tensor:
    """True where attending is allowed: patches see patches; registers see patches and the past."""
    mask = torch.ones(patches + registers, patches + registers, dtype=torch.bool).tril()
    mask[:, :patches] = True
    return mask


def _encoder_blocks(config: TokenizerConfig) -> nn.ModuleList:
    blocks = [
        EncoderBlock(config.dim, config.head_dim, config.dropout)
        for _ in range(config.encoder_depth)
    ]
    return nn.ModuleList(blocks)


def decoder_layers(config: TokenizerConfig) -> nn.ModuleList:
    layers = [
        nn.TransformerDecoderLayer(
            config.dim,
            config.dim // config.head_dim,
            4 * config.dim,
            config.dropout,
            "gelu",
            batch_first=True,
            norm_first=True,
        )
        for _ in range(config.decoder_depth)
    ]
    return nn.ModuleList(layers)
