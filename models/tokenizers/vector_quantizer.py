"""Vector quantization (van den Oord et al. 2017, arXiv 1711.00937), codes on the unit sphere.

Normalising latents and codes, in few dimensions, keeps the codebook in use (Yu et al. 2022,
arXiv 2110.04627, section 3.2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

COMMITMENT = 0.25
"""How much the encoder is drawn to its code, against the code to the encoder (equation 3)."""


class VectorQuantizer(nn.Module):
    """Replaces each latent by the nearest of ``codebook_size`` learned unit vectors."""

    def __init__(self, codebook_size: int, dim: int) -> None:
        super().__init__()
        self.codebook_size, self.dim = codebook_size, dim
        self.codebook = nn.Parameter(torch.randn(codebook_size, dim))

    def forward(self, latent: Tensor) -> Tensor:
        """Latents (..., dim) to codes of the same shape; the gradient passes straight through."""
        unit = functional.normalize(latent, dim=-1)
        return unit + (self.codes(self._nearest(unit)) - unit).detach()

    def penalty(self, latent: Tensor) -> Tensor:
        """Codebook and commitment loss, a scalar."""
        unit = functional.normalize(latent, dim=-1)
        codes = self.codes(self._nearest(unit))
        towards_latent = (codes - unit.detach()).square().mean()
        towards_code = (unit - codes.detach()).square().mean()
        return towards_latent + COMMITMENT * towards_code

    def indices(self, codes: Tensor) -> Tensor:
        """Codes (..., dim) to indices (...), int64."""
        return self._nearest(codes)

    def codes(self, indices: Tensor) -> Tensor:
        """Indices (...) to unit vectors (..., dim); the inverse of ``indices``."""
        return functional.normalize(self.codebook, dim=-1)[indices]

    def _nearest(self, unit: Tensor) -> Tensor:
        with torch.no_grad():
            return (unit @ functional.normalize(self.codebook, dim=-1).T).argmax(-1)
