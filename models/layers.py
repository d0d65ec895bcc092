"""Layers of the tokenizer: residual and encoder blocks, positions, nested dropout.

Names follow the parameters of the published OAT checkpoints, so that importing one is a rename.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

DropoutMode = Literal["pow2", "uniform", "pow2_biased"]
DROPOUT_MODES: tuple[DropoutMode, ...] = get_args(DropoutMode)


def residual_block(dim: int, dropout: float) -> nn.Sequential:
    """What a residual layer of one width adds to its input."""
    return nn.Sequential(
        nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, dim)
    )


class Positions(nn.Module):
    """One learned vector per position, started as sines and cosines."""

    def __init__(self, dim: int, length: int) -> None:
        super().__init__()
        self.posembs = nn.Parameter(sinusoids(dim, length).unsqueeze(0))  # (1, C, T)

    def forward(self) -> Tensor:
        """The table (1, T, C)."""
        return self.posembs.transpose(1, 2)


def sinusoids(dim: int, length: int) -> Tensor:
    """Sines and cosines (dim, length) of geometrically falling frequency (Vaswani et al. 2017)."""
    frequency = torch.exp(-math.log(10_000.0) * torch.arange(0, dim, 2) / dim)
    angle = frequency[:, None] * torch.arange(length)[None]
    return torch.cat([angle.sin(), angle.cos()])


class Patches(nn.Module):
    """Splits a chunk into patches of consecutive steps and projects each to one token."""

    def __init__(self, sample_dim: int, patch: int, dim: int) -> None:
        super().__init__()
        self.patch = patch
        self.patch_proj = nn.Linear(sample_dim * patch, dim)

    def forward(self, samples: Tensor) -> Tensor:
        """Samples (B, H, D) to tokens (B, H / patch, C)."""
        batch, horizon, dim = samples.shape
        return self.patch_proj(samples.reshape(batch, horizon // self.patch, self.patch * dim))


class SelfAttention(nn.Module):
    """Attention without biases; queries and keys are normalised per head."""

    def __init__(self, dim: int, head_dim: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_dim, self.dropout = dim // head_dim, head_dim, dropout
        self.wq = nn.Linear(dim, dim, bias=False)
        self.wk = nn.Linear(dim, dim, bias=False)
        self.wv = nn.Linear(dim, dim, bias=False)
        self.proj = nn.Linear(dim, dim, bias=False)
        self.q_norm = nn.LayerNorm(head_dim, elementwise_affine=False)
        self.k_norm = nn.LayerNorm(head_dim, elementwise_affine=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, C) under a boolean mask (T, T), True where attending is allowed."""
        batch, length, dim = x.shape
        shape = (batch, length, self.heads, self.head_dim)
        q = self.q_norm(self.wq(x).view(shape)).transpose(1, 2)  # (B, nh, T, hs)
        k = self.k_norm(self.wk(x).view(shape)).transpose(1, 2)
        v = self.wv(x).view(shape).transpose(1, 2)
        dropout = self.dropout if self.training else 0.0
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.proj(y.transpose(1, 2).reshape(batch, length, dim))


class GatedMLP(nn.Module):
    """``fc2(silu(fc1(x)) * fc3(x))`` (Shazeer 2020), two thirds of the usual four widths."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = int(2 * 4 * dim / 3)
        self.fc1 = nn.Linear(dim, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, dim, bias=False)
        self.fc3 = nn.Linear(dim, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., C) to (..., C)."""
        return self.fc2(functional.silu(self.fc1(x)) * self.fc3(x))


class EncoderBlock(nn.Module):
    """Pre-norm transformer block whose norms have no parameters."""

    def __init__(self, dim: int, head_dim: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, elementwise_affine=False)
        self.attn = SelfAttention(dim, head_dim, dropout)
        self.norm2 = nn.LayerNorm(dim, elementwise_affine=False)
        self.mlp = GatedMLP(dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, C) under a boolean mask (T, T)."""
        x = x + self.attn(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))


class Head(nn.Module):
    """A norm without parameters, then a projection."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.proj = nn.Linear(dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., C) to (..., out_dim)."""
        return self.proj(self.norm(x))


class NestedDropout(nn.Module):
    """Replaces every latent from a random index on by one learned vector (Rippel et al. 2014).

    How many are kept, by ``mode``: ``pow2`` a power of two or all, ``uniform`` any number, each as
    often; ``pow2_biased`` the one or the other, by an even chance. The last is our definition of
    power-biased dropout; the authors' own was not at hand.
    """

    def __init__(self, dim: int, length: int, mode: DropoutMode) -> None:
        super().__init__()
        if mode not in DROPOUT_MODES:
            known = ", ".join(DROPOUT_MODES)
            raise ValueError(f"nested dropout mode must be one of {known}, got {mode!r}")
        self.dropout_mask_token = nn.Parameter(torch.zeros(dim))
        self.length, self.mode = length, mode

    def draw(self, batch: int) -> Tensor:
        """Random numbers of latents to keep (B,)."""
        if self.mode == "uniform":
            return self._any(batch)
        if self.mode == "pow2":
            return self._power(batch)
        return torch.where(torch.rand(batch) < 0.5, self._power(batch), self._any(batch))

    def _any(self, batch: int) -> Tensor:
        return torch.randint(1, self.length + 1, (batch,))

    def _power(self, batch: int) -> Tensor:
        choices = torch.tensor(trained_prefixes(self.length, "pow2"))
        return choices[torch.randint(len(choices), (batch,))]

    def forward(self, latents: Tensor, keep: Tensor) -> Tensor:
        """Latents (B, R, C) with those at index >= keep (B,) replaced."""
        dropped = torch.arange(self.length) >= keep[:, None]  # (B, R)
        return torch.where(dropped[..., None], self.dropout_mask_token, latents)


def trained_prefixes(length: int, mode: DropoutMode) -> list[int]:
    """The prefix lengths that nested dropout trains: the only ones whose order is promised."""
    if mode != "pow2":
        return list(range(1, length + 1))
    powers = [2**i for i in range(length.bit_length()) if 2**i < length]
    return [*powers, length]
