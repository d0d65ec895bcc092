"""The policy's two graphs: ``prefill`` once per observation, ``step`` once per token.

All that is constant is folded into the weights: the normalisers, both linear maps in front of
the condition encoder, the attention's 1/sqrt(head_dim), and the exclusion of BOS.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from torch import Tensor

from calibration.graph_builder import GraphBuilder
from models.observation import safe_name
from models.policy import Block, OATPolicy


def array(tensor: Tensor) -> np.ndarray:
    """A detached FP32 copy."""
    return tensor.detach().to(torch.float32).numpy()


def build_prefill(policy: OATPolicy) -> onnx.ModelProto:
    """Raw features (1, S, dim) → ``cross_kv`` (L, 2, 1, nh, S, hs)."""
    c, g = policy.config, GraphBuilder("prefill")
    names = [g.input(key, (1, c.n_obs_steps, dim)) for key, dim in c.features.items()]
    features = g.op("Concat", *names, axis=-1)
    x = g.linear("features", g.reshape(features, c.n_obs_steps, -1), *_condition_map(policy))
    first, last = policy.encoder[0], policy.encoder[2]
    x = g.linear("encoder.0", x, array(first.weight).T, array(first.bias))
    x = g.op("Mul", x, g.op("Tanh", g.op("Softplus", x)))  # Mish
    x = g.linear("encoder.2", x, array(last.weight).T, array(last.bias))  # (S, C)
    weight = np.concatenate([array(b.cross_attn.kv_proj.weight) for b in policy.blocks])
    kv = g.linear("cross_attn.kv_proj", x, weight.T)
    kv = g.reshape(kv, c.n_obs_steps, c.layers, 2, 1, c.heads, c.head_dim)
    shape = (c.layers, 2, 1, c.heads, c.n_obs_steps, c.head_dim)
    g.output(g.transpose(kv, 1, 2, 3, 4, 0, 5), "cross_kv", shape)
    return g.build()


def build_step(policy: OATPolicy) -> onnx.ModelProto:
    """``token``, ``position``, ``cross_kv``, ``self_kv`` → ``next_token``, ``self_kv_next``.

    Entries of ``self_kv`` after ``position`` are masked, so they may hold anything finite.
    """
    c, g = policy.config, GraphBuilder("step")
    token = g.input("token", (1, 1), "int64")
    position = g.input("position", (1,), "int64")
    cross_kv = g.input("cross_kv", (c.layers, 2, 1, c.heads, c.n_obs_steps, c.head_dim))
    cache_shape = (c.layers, 2, 1, c.heads, c.num_tokens, c.head_dim)
    self_kv = g.input("self_kv", cache_shape)

    x = g.op("Gather", g.constant(array(policy.tok_emb.weight), "tok_emb"), token)
    x = g.op("Add", x, g.op("Gather", g.constant(array(policy.tok_pos_emb[0]), "pos"), position))
    x = g.reshape(x, 1, c.dim)
    written = g.op("Equal", g.constant(np.arange(c.num_tokens)[:, None], "slots"), position)
    future = g.op("Greater", g.constant(np.arange(c.num_tokens)[None], "slots"), position)
    bias = g.op("Where", future, g.constant(np.array(-1e9)), g.constant(np.array(0.0)))  # (1, R)
    crosses = g.reshape(cross_kv, c.layers * 2, c.heads, c.n_obs_steps, c.head_dim)
    crosses = g.split_op("Split", c.layers * 2, crosses, axis=0)  # each (1, nh, S, hs)
    caches = g.split_op("Split", c.layers, self_kv, axis=0)  # each (1, 2, 1, nh, R, hs)
    updated = []
    for index, (block, cache) in enumerate(zip(policy.blocks, caches, strict=True)):
        name = f"blocks.{index}"
        x, cache = _self_attention(g, f"{name}.attn", block, x, cache, written, bias)
        updated.append(cache)
        crossed = crosses[2 * index : 2 * index + 2]
        x = _cross_attention(g, f"{name}.cross_attn", block, x, *crossed)
        x = _mlp(g, f"{name}.mlp", block, x)
    x = g.rms_norm(x, policy.ln_f)
    logits = g.linear("head", x, array(policy.head.weight)[: c.codebook_size].T)  # (1, V - 1)
    g.output(g.op("ArgMax", logits, axis=-1, keepdims=1), "next_token", (1, 1), "int64")
    g.output(g.op("Concat", *updated, axis=0), "self_kv_next", cache_shape)
    return g.build()


def _condition_map(policy: OATPolicy) -> tuple[np.ndarray, np.ndarray]:
    """Weight (features, C) and bias (S, C) from raw features to the condition encoder's input."""
    encoder = policy.obs_encoder
    norms = [encoder.normalizers[safe_name(key)] for key in encoder.features]
    scale = torch.cat([norm.scale for norm in norms])
    offset = torch.cat([norm.offset for norm in norms])
    double = [t.double() for t in (encoder.state_proj.weight, policy.cond_emb.weight)]
    merged = double[1] @ double[0]  # (C, features)
    bias = policy.cond_emb(encoder.state_proj(offset)) + policy.cond_pos_emb[0]
    return array((merged * scale).T), array(bias)


def _self_attention(
    g: GraphBuilder, name: str, block: Block, x: str, cache: str, written: str, bias: str
) -> tuple[str, str]:
    """x (1, C), cache (1, 2, 1, nh, R, hs) → the sum with the residual, the written cache."""
    heads, dim = block.attn.heads, block.attn.c_proj.in_features
    weight = array(block.attn.c_attn.weight).copy()
    weight[:dim] /= (dim // heads) ** 0.5
    qkv = g.linear(f"{name}.c_attn", g.rms_norm(x, block.ln_1), weight.T)  # (1, 3C)
    sizes = g.constant(np.array([dim, 2 * dim]), "sizes")
    query, new = g.split_op("Split", 2, qkv, sizes, axis=-1)
    cache = g.op("Where", written, g.reshape(new, 1, 2, 1, heads, 1, -1), cache)
    keys, values = g.split_op("Split", 2, cache, axis=1)  # (1, 1, 1, nh, R, hs)
    y = _attend(g, g.reshape(query, 1, 1, 1, heads, 1, -1), keys, values, bias)
    y = g.linear(f"{name}.c_proj", g.reshape(y, 1, dim), array(block.attn.c_proj.weight).T)
    return g.op("Add", x, y), cache


def _cross_attention(
    g: GraphBuilder, name: str, block: Block, x: str, keys: str, values: str
) -> str:
    """x (1, C), keys and values (1, nh, S, hs) → the sum with the residual."""
    attention = block.cross_attn
    heads, dim = attention.heads, attention.c_proj.in_features
    weight = array(attention.q_proj.weight) / (dim // heads) ** 0.5
    query = g.linear(f"{name}.q_proj", g.rms_norm(x, block.ln_2), weight.T)
    y = _attend(g, g.reshape(query, 1, heads, 1, -1), keys, values, None)
    y = g.linear(f"{name}.c_proj", g.reshape(y, 1, dim), array(attention.c_proj.weight).T)
    return g.op("Add", x, y)


def _attend(g: GraphBuilder, query: str, keys: str, values: str, bias: str | None) -> str:
    """A scaled query (..., nh, 1, hs) over keys and values (..., nh, T, hs) → (..., nh, 1, hs)."""
    rank = 6 if bias is not None else 4
    scores = g.op("MatMul", query, g.transpose(keys, *range(rank - 2), rank - 1, rank - 2))
    if bias is not None:
        scores = g.op("Add", scores, bias)
    return g.op("MatMul", g.op("Softmax", scores, axis=-1), values)


def _mlp(g: GraphBuilder, name: str, block: Block, x: str) -> str:
    up, down = block.mlp.c_fc, block.mlp.c_proj
    y = g.rms_norm(x, block.ln_3)
    y = g.linear(f"{name}.c_fc", y, array(up.weight).T, array(up.bias))
    y = g.linear(f"{name}.c_proj", g.gelu(y), array(down.weight).T, array(down.bias))
    return g.op("Add", x, y)
