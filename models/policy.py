"""The autoregressive OAT policy (arXiv 2602.04215): observations to tokens, coarse to fine.

A decoder-only transformer attends to its earlier tokens and, by cross-attention, to one memory
token per observation step. Training runs ``forward``; onboard use splits into ``prefill`` (once
per observation) and ``step`` (once per token) over a preallocated key/value buffer.
Parameter names follow the published OAT checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.observation import ObservationEncoder

NORM_EPSILON = 1e-6


@dataclass(frozen=True)
class PolicyConfig:
    """Sizes of a policy; ``features`` maps an observation's key to its dimension, in order."""

    features: dict[str, int] = field(default_factory=dict)
    n_obs_steps: int = 2
    codebook_size: int = 1000
    num_tokens: int = 8
    dim: int = 128
    layers: int = 4
    heads: int = 4
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.dim % self.heads:
            raise ValueError(f"heads {self.heads} does not divide dim {self.dim}")

    @property
    def bos(self) -> int:
        """The id that starts every sequence; it is never generated."""
        return self.codebook_size

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


class CausalSelfAttention(nn.Module):
    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.c_attn = nn.Linear(config.dim, 3 * config.dim, bias=False)
        self.c_proj = nn.Linear(config.dim, config.dim, bias=False)
        self.resid_dropout = nn.Dropout(config.dropout)

    def qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, C) to queries, keys and values, each (B, nh, T, hs)."""
        return tuple(_heads(part, self.heads) for part in self.c_attn(x).chunk(3, -1))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, C), every position attending to itself and the past."""
        q, k, v = self.qkv(x)
        dropout = self.dropout if self.training else 0.0
        y = functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        return self.resid_dropout(self.c_proj(_merge(y)))

    def step(self, x: Tensor, position: int, cache: Tensor) -> Tensor:
        """One position x (B, 1, C); writes its keys and values to cache (2, B, nh, R, hs)."""
        q, k, v = self.qkv(x)
        cache[0, :, :, position], cache[1, :, :, position] = k[:, :, 0], v[:, :, 0]
        past = cache[:, :, :, : position + 1]
        return self.c_proj(_merge(functional.scaled_dot_product_attention(q, past[0], past[1])))


class CrossAttention(nn.Module):
    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.q_proj = nn.Linear(config.dim, config.dim, bias=False)
        self.kv_proj = nn.Linear(config.dim, 2 * config.dim, bias=False)
        self.c_proj = nn.Linear(config.dim, config.dim, bias=False)
        self.resid_dropout = nn.Dropout(config.dropout)

    def kv(self, memory: Tensor) -> Tensor:
        """Memory (B, S, C) to keys and values (2, B, nh, S, hs)."""
        return torch.stack([_heads(x, self.heads) for x in self.kv_proj(memory).chunk(2, -1)])

    def forward(self, x: Tensor, kv: Tensor) -> Tensor:
        """x (B, T, C) attends to kv (2, B, nh, S, hs)."""
        q = _heads(self.q_proj(x), self.heads)
        dropout = self.dropout if self.training else 0.0
        y = functional.scaled_dot_product_attention(q, kv[0], kv[1], dropout_p=dropout)
        return self.resid_dropout(self.c_proj(_merge(y)))


class MLP(nn.Module):
    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.dim, 4 * config.dim)
        self.c_proj = nn.Linear(4 * config.dim, config.dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(functional.gelu(self.c_fc(x))))


class Block(nn.Module):
    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.ln_1 = nn.RMSNorm(config.dim, NORM_EPSILON)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.RMSNorm(config.dim, NORM_EPSILON)
        self.cross_attn = CrossAttention(config)
        self.ln_3 = nn.RMSNorm(config.dim, NORM_EPSILON)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, cross_kv: Tensor) -> Tensor:
        """x (B, T, C), cross_kv (2, B, nh, S, hs)."""
        x = x + self.attn(self.ln_1(x))
        return self._rest(x, cross_kv)

    def step(self, x: Tensor, position: int, cross_kv: Tensor, self_kv: Tensor) -> Tensor:
        """One position x (B, 1, C); self_kv (2, B, nh, R, hs) is written at ``position``."""
        x = x + self.attn.step(self.ln_1(x), position, self_kv)
        return self._rest(x, cross_kv)

    def _rest(self, x: Tensor, cross_kv: Tensor) -> Tensor:
        x = x + self.cross_attn(self.ln_2(x), cross_kv)
        return x + self.mlp(self.ln_3(x))


class OATPolicy(nn.Module):
    """Tokens of a chunk, each given the observation and the tokens before it."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        vocabulary, dim = config.codebook_size + 1, config.dim
        self.obs_encoder = ObservationEncoder(config.features, dim)
        self.tok_pos_emb = nn.Parameter(torch.zeros(1, config.num_tokens + 1, dim))
        self.cond_pos_emb = nn.Parameter(torch.zeros(1, config.n_obs_steps, dim))
        self.tok_emb = nn.Embedding(vocabulary, dim)
        self.cond_emb = nn.Linear(dim, dim)
        self.encoder = nn.Sequential(nn.Linear(dim, 4 * dim), nn.Mish(), nn.Linear(4 * dim, dim))
        self.drop = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.ln_f = nn.RMSNorm(dim, NORM_EPSILON)
        self.head = nn.Linear(dim, vocabulary, bias=False)
        self.apply(_initialise)
        self.head.weight = self.tok_emb.weight

    def prefill(self, observation: Mapping[str, Tensor], noise: float = 0.0) -> Tensor:
        """Raw features (B, S, dim) to every layer's cross_kv (L, 2, B, nh, S, hs)."""
        x = self.cond_emb(self.obs_encoder(observation, noise)) + self.cond_pos_emb
        memory = self.encoder(self.drop(x))  # (B, S, C)
        return torch.stack([block.cross_attn.kv(memory) for block in self.blocks])

    def forward(self, tokens: Tensor, cross_kv: Tensor) -> Tensor:
        """Tokens (B, T), starting with BOS, to logits (B, T, V) of the token that follows each."""
        x = self.tok_emb(tokens) + self.tok_pos_emb[:, : tokens.shape[1]]  # (B, T, C)
        x = self.drop(x)
        for block, kv in zip(self.blocks, cross_kv, strict=True):
            x = block(x, kv)
        return self.head(self.ln_f(x))

    def step(self, token: Tensor, position: int, cross_kv: Tensor, self_kv: Tensor) -> Tensor:
        """Token (B, 1) at ``position`` to logits (B, V); writes self_kv (L, 2, B, nh, R, hs)."""
        x = self.tok_emb(token) + self.tok_pos_emb[:, position : position + 1]  # (B, 1, C)
        for block, cross, cache in zip(self.blocks, cross_kv, self_kv, strict=True):
            x = block.step(x, position, cross, cache)
        return self.head(self.ln_f(x))[:, 0]

    def new_cache(self, batch: int = 1) -> Tensor:
        """An empty self_kv buffer (L, 2, B, nh, R, hs)."""
        c = self.config
        return torch.zeros(c.layers, 2, batch, c.heads, c.num_tokens, c.head_dim)


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, T, C) -> (B, nh, T, hs)


def _merge(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)  # (B, nh, T, hs) -> (B, T, C)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
