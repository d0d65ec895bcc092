"""What Diffusion Policy minimises."""

from __future__ import annotations

import torch
from torch import Tensor

from models.dataset import Windows
from models.objectives import VALIDATION_WINDOWS, spread
from models.rivals.diffusion import DiffusionPolicy


class Denoising:
    """Squared error of the predicted noise at random levels."""

    def __init__(self, training: Windows, validation: Windows, observation_noise: float) -> None:
        self.training, self.noise = training, observation_noise
        self.validation = spread(validation, VALIDATION_WINDOWS)
        count, (horizon, dim) = (
            len(self.validation),
            self.validation.chunk(self.validation.index[:1]).shape[1:],
        )
        fixed = torch.Generator().manual_seed(0)
        self._validation_noise = torch.randn(count, horizon, dim, generator=fixed)
        self._validation_share = torch.rand(count, generator=fixed)

    def loss(self, model: DiffusionPolicy, batch_size: int) -> Tensor:
        """The loss of a random batch."""
        rows = self.training.draw(batch_size)
        level = torch.randint(model.config.levels, (batch_size,))
        clean = model.normalizer(self.training.chunk(rows))
        noise = torch.randn_like(clean)
        memory = model.memory(self.training.observation(rows), self.noise)
        return (model(model.blur(clean, level, noise), level, memory) - noise).square().mean()

    def validate(self, model: DiffusionPolicy) -> float:
        """The same on held-out windows, with noise and levels that never change."""
        rows = self.validation.index
        level = (self._validation_share * model.config.levels).long()
        clean = model.normalizer(self.validation.chunk(rows))
        noise = self._validation_noise
        memory = model.memory(self.validation.observation(rows))
        predicted = model(model.blur(clean, level, noise), level, memory)
        return float((predicted - noise).square().mean())
