"""A chunk by plain regression: observations to all actions in one pass."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from models.agent import Observation, Plan
from models.layers import residual_block
from models.normalizer import Normalizer
from models.observation import ObservationEncoder
from models.token_agent import as_tensors


@dataclass(frozen=True)
class MlpConfig:
    """Sizes; ``features`` maps an observation's key to its dimension, in order."""

    features: dict[str, int] = field(default_factory=dict)
    n_obs_steps: int = 2
    action_dim: int = 7
    action_horizon: int = 32
    hidden: int = 512
    layers: int = 3
    dropout: float = 0.1


class ChunkMlp(nn.Module):
    """Residual layers of one width, trained by absolute error: ``models.objectives.Regression``."""

    most_tokens = 0

    def __init__(self, config: MlpConfig) -> None:
        super().__init__()
        self.config = config
        self.normalizer = Normalizer(config.action_dim)
        self.obs_encoder = ObservationEncoder(config.features, config.hidden)
        self.join = nn.Linear(config.n_obs_steps * config.hidden, config.hidden)
        self.blocks = nn.ModuleList(
            residual_block(config.hidden, config.dropout) for _ in range(config.layers)
        )
        self.head = nn.Linear(config.hidden, config.action_horizon * config.action_dim)

    def forward(self, observation: dict[str, Tensor], noise: float = 0.0) -> Tensor:
        """Raw features (B, S, dim) to normalised chunks (B, H, D)."""
        x = self.join(self.obs_encoder(observation, noise).flatten(1))
        for block in self.blocks:
            x = x + block(x)
        return self.head(x).unflatten(1, (self.config.action_horizon, self.config.action_dim))

    @torch.no_grad()
    def plan(self, observation: Observation, k: int | None, rng: np.random.Generator) -> Plan:
        """See ``Agent``; deterministic."""
        chunk = self(as_tensors(observation, self.config.features))
        return Plan(self.normalizer.inverse(chunk)[0].numpy())
