"""Finite scalar quantization (Mentzer et al. 2023, arXiv 2309.15505, section 3 and appendix A)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

BOUND_SLACK = 1e-3
"""Widens the bound a little so that the outermost levels are reached (appendix A)."""


class FSQ(nn.Module):
    """Rounds each latent dimension to its own number of levels; there are no parameters.

    A code is the vector of rounded values divided by ``level // 2``, so it lies in [-1, 1].
    Its index is the mixed-radix number of the levels, the first dimension changing fastest.
    """

    levels: Tensor
    strides: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        if not levels or min(levels) < 2:
            raise ValueError(f"levels must all be 2 or more, got {list(levels)}")
        strides = [math.prod(levels[:i]) for i in range(len(levels))]
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.register_buffer("strides", torch.tensor(strides), persistent=False)
        self.dim = len(levels)
        self.codebook_size = math.prod(levels)

    def forward(self, latent: Tensor) -> Tensor:
        """Latents (..., dim) to codes of the same shape; the gradient passes straight through."""
        bounded = self._bound(latent)
        rounded = bounded + (bounded.round() - bounded).detach()
        return rounded / (self.levels // 2)

    def penalty(self, latent: Tensor) -> Tensor:
        """Zero: nothing is learned here, so nothing has to be drawn together."""
        return latent.new_zeros(())

    def indices(self, codes: Tensor) -> Tensor:
        """Codes (..., dim) to indices (...), int64 in [0, codebook_size)."""
        half = self.levels // 2
        digits = (codes * half + half).round().long()
        return (digits * self.strides).sum(-1)

    def codes(self, indices: Tensor) -> Tensor:
        """Indices (...) to codes (..., dim); the inverse of ``indices``."""
        half = self.levels // 2
        digits = indices.unsqueeze(-1) // self.strides % self.levels
        return (digits - half) / half

    def bounds(self) -> tuple[Tensor, Tensor, Tensor]:
        """Shift, half width and offset (dim,): ``tanh(latent + shift) * half_width - offset``."""
        half_width = (self.levels - 1) * (1 + BOUND_SLACK) / 2
        offset = torch.where(self.levels % 2 == 0, 0.5, 0.0)
        return (offset / half_width).atanh(), half_width, offset

    def _bound(self, latent: Tensor) -> Tensor:
        shift, half_width, offset = self.bounds()
        return (latent + shift).tanh() * half_width - offset
