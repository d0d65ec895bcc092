"""What the policy's two graphs share: blocks after self-attention, and the choice of a token."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from calibration.graph_builder import GraphBuilder
from models.policy import Block, OATPolicy, PolicyConfig


def array(tensor: Tensor) -> np.ndarray:
    """A detached FP32 copy."""
    return tensor.detach().to(torch.float32).numpy()


class Cross(NamedTuple):
    """One layer's keys (nh * S, C), as the hidden state meets them, and values (nh * S, C)."""

    keys: str
    values: str
    heads: int


def self_shape(c: PolicyConfig) -> tuple[int, ...]:
    return (c.layers, 2, 1, c.heads, c.num_tokens, c.head_dim)


def cross_shape(c: PolicyConfig) -> tuple[int, ...]:
    return (c.layers, 2, c.heads * c.n_obs_steps, c.dim)


def split_cross(g: GraphBuilder, c: PolicyConfig, cross_kv: str) -> list[Cross]:
    rows = g.reshape(cross_kv, -1, c.dim)
    parts = g.split_op("Split", 2 * c.layers, rows, axis=0)
    return [Cross(*parts[i : i + 2], c.heads) for i in range(0, len(parts), 2)]


def rest_of_block(g: GraphBuilder, name: str, block: Block, x: str, cross: Cross) -> str:
    """Cross-attention and MLP: x (1, C) → (1, C)."""
    x = _cross_attention(g, f"{name}.cross_attn", block, x, cross)
    return _mlp(g, f"{name}.mlp", block, x)


def _cross_attention(g: GraphBuilder, name: str, block: Block, x: str, cross: Cross) -> str:
    """x (1, C) → the sum with the residual."""
    keys = g.transpose(cross.keys, 1, 0)
    scores = g.product(f"{name}.scores", g.rms_norm(x, block.ln_2), keys)  # (1, nh * S)
    weights = g.op("Softmax", g.reshape(scores, cross.heads, -1), axis=-1)
    y = g.product(f"{name}.mix", g.reshape(weights, 1, -1), cross.values)
    return g.op("Add", x, y)


def _mlp(g: GraphBuilder, name: str, block: Block, x: str) -> str:
    up, down = block.mlp.c_fc, block.mlp.c_proj
    y = g.rms_norm(x, block.ln_3)
    y = g.linear(f"{name}.c_fc", y, array(up.weight).T, array(up.bias))
    y = g.linear(f"{name}.c_proj", g.gelu(y), array(down.weight).T, array(down.bias))
    return g.op("Add", x, y)


def output_token(g: GraphBuilder, policy: OATPolicy, x: str) -> None:
    """The most likely code after x (1, C) as output ``next_token`` (1, 1)."""
    weight = array(policy.head.weight)[: policy.config.codebook_size].T
    logits = g.linear("head", g.rms_norm(x, policy.ln_f), weight)
    g.output(g.op("ArgMax", logits, axis=-1, keepdims=1), "next_token", (1, 1), "int64")
