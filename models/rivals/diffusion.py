"""Diffusion Policy with a transformer (Chi et al. 2023, arXiv 2303.04137), sampled by DDIM.

The network predicts the noise in a noisy chunk from the observation and the noise level, both
memory of its cross-attention; steps of the chunk see earlier ones alone. Blocks are those of the
autoregressive policy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from models.agent import Observation, Plan
from models.layers import sinusoids
from models.normalizer import Normalizer
from models.observation import ObservationEncoder
from models.policy import NORM_EPSILON, Block, PolicyConfig
from models.token_agent import as_tensors

_COSINE_OFFSET = 0.008
_LARGEST_BETA = 0.999


@dataclass(frozen=True)
class DiffusionConfig:
    """Sizes; ``levels`` of noise are trained, ``samples`` of them are visited when sampling."""

    features: dict[str, int] = field(default_factory=dict)
    n_obs_steps: int = 2
    action_dim: int = 7
    action_horizon: int = 32
    dim: int = 128
    layers: int = 4
    heads: int = 4
    dropout: float = 0.1
    levels: int = 100
    samples: int = 10

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= self.levels:
            raise ValueError(f"samples must be in 1..{self.levels}, got {self.samples}")


class DiffusionPolicy(nn.Module):
    """``forward`` predicts noise; ``plan`` removes it from a random start."""

    most_tokens = 0
    level_table: Tensor
    signal: Tensor

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        self.config = config
        self.normalizer = Normalizer(config.action_dim)
        self.obs_encoder = ObservationEncoder(config.features, config.dim)
        self.obs_positions = nn.Parameter(torch.zeros(1, config.n_obs_steps, config.dim))
        self.level_mlp = nn.Sequential(
            nn.Linear(config.dim, config.dim), nn.Mish(), nn.Linear(config.dim, config.dim)
        )
        self.action_proj = nn.Linear(config.action_dim, config.dim)
        self.action_positions = nn.Parameter(torch.zeros(1, config.action_horizon, config.dim))
        blocks = PolicyConfig(dim=config.dim, heads=config.heads, dropout=config.dropout)
        self.blocks = nn.ModuleList(Block(blocks) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.dim, NORM_EPSILON)
        self.head = nn.Linear(config.dim, config.action_dim)
        table = sinusoids(config.dim, config.levels).T.contiguous()
        self.register_buffer("level_table", table, persistent=False)
        self.register_buffer("signal", signal_shares(config.levels), persistent=False)
        for positions in (self.obs_positions, self.action_positions):
            nn.init.normal_(positions, std=0.02)

    def memory(self, observation: dict[str, Tensor], noise: float = 0.0) -> Tensor:
        """Raw features (B, S, dim) to what is seen of them at every level, (B, S, C)."""
        return self.obs_encoder(observation, noise) + self.obs_positions

    def forward(self, noisy: Tensor, level: Tensor, memory: Tensor) -> Tensor:
        """The noise in chunks (B, H, D) at levels (B,), given their memory (B, S, C)."""
        token = self.level_mlp(self.level_table[level])[:, None]
        memory = torch.cat([memory, token], 1)  # (B, S + 1, C)
        x = self.action_proj(noisy) + self.action_positions
        for block in self.blocks:
            x = block(x, block.cross_attn.kv(memory))
        return self.head(self.norm(x))

    def blur(self, clean: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """Chunks (B, H, D) with noise of levels (B,)."""
        share = self.signal[level][:, None, None]
        return share.sqrt() * clean + (1 - share).sqrt() * noise

    @torch.no_grad()
    def sample(self, observation: dict[str, Tensor], start: Tensor) -> Tensor:
        """Normalised chunks (B, H, D) from noise (B, H, D): DDIM without added noise.

        Song et al. 2021, arXiv 2010.02502, equation 12; the estimate is kept in the data's range.
        """
        memory, x = self.memory(observation), start
        visited = torch.linspace(self.config.levels - 1, 0, self.config.samples).round().long()
        shares = torch.cat([self.signal[visited], torch.ones(1)])
        for level, share, following in zip(visited, shares[:-1], shares[1:], strict=True):
            noise = self(x, level.expand(len(x)), memory)
            clean = ((x - (1 - share).sqrt() * noise) / share.sqrt()).clamp(-1.0, 1.0)
            noise = (x - share.sqrt() * clean) / (1 - share).sqrt()
            x = following.sqrt() * clean + (1 - following).sqrt() * noise
        return x

    def plan(self, observation: Observation, k: int | None, rng: np.random.Generator) -> Plan:
        """See ``Agent``; the noise to start from is drawn from ``rng``."""
        c = self.config
        start = rng.standard_normal((1, c.action_horizon, c.action_dim), np.float32)
        chunk = self.sample(as_tensors(observation, c.features), torch.from_numpy(start))
        return Plan(self.normalizer.inverse(chunk)[0].numpy())


def signal_shares(levels: int) -> Tensor:
    """How much of the variance is signal at each level, (levels,), falling.

    The squared cosine schedule of Nichol and Dhariwal 2021, arXiv 2102.09672, equation 17.
    """

    def share(t: float) -> float:
        return math.cos((t + _COSINE_OFFSET) / (1 + _COSINE_OFFSET) * math.pi / 2) ** 2

    betas = [1 - share((i + 1) / levels) / share(i / levels) for i in range(levels)]
    return torch.tensor([1 - min(beta, _LARGEST_BETA) for beta in betas]).cumprod(0)
