"""The graph ``step``: once per token after the first, over a resident key-value cache."""

from __future__ import annotations

import numpy as np
import onnx

from calibration.graph_builder import GraphBuilder
from calibration.policy_layers import (
    array,
    cross_shape,
    output_token,
    rest_of_block,
    self_shape,
    split_cross,
)
from models.policy import Block, OATPolicy


def build_step(policy: OATPolicy) -> onnx.ModelProto:
    """``token``, ``position``, ``cross_kv``, ``self_kv`` → ``next_token``, ``self_kv_next``.

    Entries of ``self_kv`` after ``position`` are masked, so they may hold anything finite.
    """
    c, g = policy.config, GraphBuilder("step")
    token = g.input("token", (1, 1), "int64")
    position = g.input("position", (1,), "int64")
    crosses = split_cross(g, c, g.input("cross_kv", cross_shape(c)))
    caches = g.split_op("Split", c.layers, g.input("self_kv", self_shape(c)), axis=0)

    x = g.op("Gather", g.constant(array(policy.tok_emb.weight), "tok_emb"), token)
    x = g.op("Add", x, g.op("Gather", g.constant(array(policy.tok_pos_emb[0]), "pos"), position))
    x = g.reshape(x, 1, c.dim)
    written = g.op("Equal", g.constant(np.arange(c.num_tokens)[:, None], "slots"), position)
    future = g.op("Greater", g.constant(np.arange(c.num_tokens)[None], "slots"), position)
    bias = g.op("Where", future, g.constant(np.array(-1e9)), g.constant(np.array(0.0)))  # (1, R)
    updated = []
    for index, (block, cross) in enumerate(zip(policy.blocks, crosses, strict=True)):
        name = f"blocks.{index}"
        x, cache = _self_attention(g, f"{name}.attn", block, x, caches[index], written, bias)
        updated.append(cache)
        x = rest_of_block(g, name, block, x, cross)
    output_token(g, policy, x)
    g.output(g.op("Concat", *updated, axis=0), "self_kv_next", self_shape(c))
    return g.build()


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


def _attend(g: GraphBuilder, query: str, keys: str, values: str, bias: str) -> str:
    """A scaled query (..., nh, 1, hs) over keys and values (..., nh, R, hs) → (..., nh, 1, hs)."""
    scores = g.op("MatMul", query, g.transpose(keys, 0, 1, 2, 3, 5, 4))
    return g.op("MatMul", g.op("Softmax", g.op("Add", scores, bias), axis=-1), values)
