"""Min-max normalisation to [-1, 1]; its statistics travel with the weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMALLEST_RANGE = 1e-4
"""A dimension that moves less than this is taken as constant and maps to 0."""


class Normalizer(nn.Module):
    """``normalised = raw * scale + offset`` per dimension; raw minima map to -1, maxima to 1."""

    scale: Tensor
    offset: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("offset", torch.zeros(dim))

    def fit(self, raw: Tensor) -> None:
        """Sets scale and offset from samples (N, dim); raises ValueError if one is not finite."""
        if not torch.isfinite(raw).all():
            raise ValueError("cannot normalise: the data holds a value that is not finite")
        low, high = raw.min(0).values, raw.max(0).values
        constant = high - low < SMALLEST_RANGE
        scale = torch.where(constant, 1.0, 2.0 / (high - low).clamp(min=SMALLEST_RANGE))
        self.scale.copy_(scale)
        self.offset.copy_(-scale * (high + low) / 2)

    def forward(self, raw: Tensor) -> Tensor:
        """Raw (..., dim) to normalised (..., dim)."""
        return raw * self.scale + self.offset

    def inverse(self, normalised: Tensor, clamp: bool = True) -> Tensor:
        """Normalised (..., dim), clamped to [-1, 1] first if asked for, back to raw units."""
        bounded = normalised.clamp(-1.0, 1.0) if clamp else normalised
        return (bounded - self.offset) / self.scale
