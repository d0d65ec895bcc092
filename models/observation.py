"""From raw observation features to one vector per observation step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models.normalizer import Normalizer


class FeatureNormalizer(nn.Module):
    """Normalises each feature by its own range."""

    def __init__(self, features: Mapping[str, int]) -> None:
        super().__init__()
        self.features = dict(features)
        dims = self.features.items()
        self.normalizers = nn.ModuleDict({safe_name(key): Normalizer(dim) for key, dim in dims})

    @property
    def in_order(self) -> list[Normalizer]:
        """One for each feature, in the order of their concatenation."""
        return [self.normalizers[safe_name(key)] for key in self.features]

    def fit(self, raw: Mapping[str, Tensor]) -> None:
        """Sets the range of every feature from samples (N, dim) of each."""
        for key, normalizer in zip(self.features, self.in_order, strict=True):
            normalizer.fit(raw[key])

    def normalise(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Raw features (B, S, dim) each to their normalised concatenation (B, S, sum of dims)."""
        pairs = zip(self.features, self.in_order, strict=True)
        return torch.cat([normalizer(observation[key]) for key, normalizer in pairs], -1)


class ObservationEncoder(FeatureNormalizer):
    """Normalises each feature and projects their concatenation."""

    def __init__(self, features: Mapping[str, int], out_dim: int) -> None:
        super().__init__(features)
        self.state_proj = nn.Linear(sum(self.features.values()), out_dim)

    def forward(self, observation: Mapping[str, Tensor], noise: float = 0.0) -> Tensor:
        """To (B, S, C); ``noise`` is the deviation added to normalised features in training."""
        return self.state_proj(blurred(self.normalise(observation), noise))


def blurred(features: Tensor, noise: Tensor | float) -> Tensor:
    """Features with N(0, 1) * noise added, of one deviation or one for each row; 0.0 draws none."""
    if isinstance(noise, float) and noise <= 0.0:
        return features
    return features + noise * torch.randn_like(features)


def safe_name(key: str) -> str:
    """A feature's key as a module name, which may hold no dot."""
    return key.replace(".", "_")
