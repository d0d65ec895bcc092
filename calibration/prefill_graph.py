"""The graph ``prefill``: once per observation, and the first token with it.

All that is constant is folded into the weights: the normalisers, both linear maps in front of the
condition encoder, the attention's 1/sqrt(head_dim), and the exclusion of BOS. Three more foldings
make a plan of one token cheap:

- BOS is known and the first token attends to itself alone, so it is generated here.
- The observation's keys are multiplied by the query weights, and its values by the output weights,
  once per plan instead of at every token: a query is then the hidden state itself.
- What the first block makes of BOS before it sees the observation is a constant.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch

from calibration.graph_builder import GraphBuilder
from calibration.policy_layers import (
    array,
    cross_shape,
    output_token,
    rest_of_block,
    self_shape,
    split_cross,
)
from models.policy import Block, CrossAttention, OATPolicy


def build_prefill(policy: OATPolicy) -> onnx.ModelProto:
    """Raw features (1, S, dim) → ``cross_kv`` (L, 2, nh * S, C), ``next_token``, ``self_kv_next``.

    The token is that after BOS; of ``self_kv_next`` its entry 0 is written, the others are zero.
    """
    c, g = policy.config, GraphBuilder("prefill")
    cross_kv = _cross_kv(g, policy, _memory(g, policy))
    crosses = split_cross(g, c, cross_kv)
    hidden, entry = _begin(policy)
    x, entries = g.constant(hidden, "bos"), [g.constant(entry, "entry")]
    for index, (block, cross) in enumerate(zip(policy.blocks, crosses, strict=True)):
        if index > 0:
            x, entry = _first_attention(g, f"blocks.{index}.attn", block, x)
            entries.append(entry)
        x = rest_of_block(g, f"blocks.{index}", block, x, cross)
    output_token(g, policy, x)
    entry_shape = (c.layers, 2, 1, c.heads, 1, c.head_dim)
    written = g.reshape(g.op("Concat", *entries, axis=0), *entry_shape)
    blank = np.zeros((c.layers, 2, 1, c.heads, c.num_tokens - 1, c.head_dim))
    self_kv = g.op("Concat", written, g.constant(blank, "blank"), axis=4)
    g.output(self_kv, "self_kv_next", self_shape(c))
    g.output(cross_kv, "cross_kv", cross_shape(c))
    return g.build()


def _memory(g: GraphBuilder, policy: OATPolicy) -> str:
    """The condition encoder: raw features to one token per observation step (S, C)."""
    c = policy.config
    names = [g.input(key, (1, c.n_obs_steps, dim)) for key, dim in c.features.items()]
    features = g.reshape(g.op("Concat", *names, axis=-1), c.n_obs_steps, -1)
    x = g.linear("features", features, *_condition_map(policy))
    first, last = policy.encoder[0], policy.encoder[2]
    x = g.linear("encoder.0", x, array(first.weight).T, array(first.bias))
    x = g.op("Mul", x, g.op("Tanh", g.op("Softplus", x)))  # Mish
    return g.linear("encoder.2", x, array(last.weight).T, array(last.bias))


def _condition_map(policy: OATPolicy) -> tuple[np.ndarray, np.ndarray]:
    """Weight (features, C) and bias (S, C) from raw features to the condition encoder's input."""
    encoder = policy.obs_encoder
    norms = encoder.in_order
    scale = torch.cat([norm.scale for norm in norms])
    offset = torch.cat([norm.offset for norm in norms])
    double = [t.double() for t in (encoder.state_proj.weight, policy.cond_emb.weight)]
    merged = double[1] @ double[0]  # (C, features)
    bias = policy.cond_emb(encoder.state_proj(offset)) + policy.cond_pos_emb[0]
    return array((merged * scale).T), array(bias)


def _cross_kv(g: GraphBuilder, policy: OATPolicy, memory: str) -> str:
    """Keys times query weights and values times output weights (L, 2, nh * S, C)."""
    c = policy.config
    weight = np.concatenate([array(b.cross_attn.kv_proj.weight) for b in policy.blocks])
    kv = g.linear("cross_attn.kv_proj", memory, weight.T)
    kv = g.transpose(g.reshape(kv, c.n_obs_steps, -1, c.head_dim), 1, 0, 2)  # (L * 2 * nh, S, hs)
    outer = np.concatenate([_outer_weights(block.cross_attn) for block in policy.blocks])
    kv = g.product("cross_attn.outer", kv, g.constant(outer, "weight"))  # (L * 2 * nh, S, C)
    return g.reshape(kv, *cross_shape(c))


def _outer_weights(attention: CrossAttention) -> np.ndarray:
    """Scaled query weights, then output weights, by head (2 * nh, hs, C)."""
    size = attention.c_proj.in_features // attention.heads
    query = array(attention.q_proj.weight) / size**0.5
    output = array(attention.c_proj.weight).T
    return np.concatenate([query, output]).reshape(2 * attention.heads, size, -1)


def _begin(policy: OATPolicy) -> tuple[np.ndarray, np.ndarray]:
    """BOS after the first block's self-attention (1, C), and its keys and values there (1, 2C)."""
    c, attention = policy.config, policy.blocks[0].attn
    x = (policy.tok_emb.weight[c.bos] + policy.tok_pos_emb[0, 0])[None]
    entry = attention.c_attn(policy.blocks[0].ln_1(x))[:, c.dim :]
    return array(x + attention.c_proj(entry[:, c.dim :])), array(entry)


def _first_attention(g: GraphBuilder, name: str, block: Block, x: str) -> tuple[str, str]:
    """x (1, C) attends to itself alone → the sum with the residual, and its cache entry (1, 2C)."""
    dim = block.attn.c_proj.in_features
    weight = array(block.attn.c_attn.weight)[dim:]
    entry = g.linear(f"{name}.c_attn", g.rms_norm(x, block.ln_1), weight.T)  # (1, 2C)
    value = g.split_op("Split", 2, entry, axis=-1)[1]
    y = g.linear(f"{name}.c_proj", value, array(block.attn.c_proj.weight).T)
    return g.op("Add", x, y), entry
