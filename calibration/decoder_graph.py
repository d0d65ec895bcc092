"""The tokenizer's decoder as a graph, cropped to the steps that will be executed.

Cropping is exact where the decoder is causal over positions. What does not depend on the
input is folded: the queries' first self-attention, biases (a key's shifts every score alike, a
value's passes through the average), the normaliser of the actions, and see ``decoder_memory``.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from torch import nn

from calibration.condition_graph import declare_condition, expected_chunk
from calibration.decoder_memory import Memory, build_memory, scaled_queries
from calibration.graph_builder import GraphBuilder
from calibration.policy_layers import array
from models.condition import DEPARTURE_GAIN
from models.tokenizer import OATTokenizer


def build_decode(tokenizer: OATTokenizer, steps: int) -> onnx.ModelProto:
    """``tokens`` (1, R), ``prefix`` (1,) and the condition → ``action`` (1, steps, D) rad.

    The condition is as ``condition_graph`` declares it. Tokens at index >= prefix are replaced by
    the mask vector, so they may be any code. A decoder that is not causal computes the whole
    horizon, of which the first ``steps`` are given out.
    """
    c, g = tokenizer.config, GraphBuilder("decode")
    rows = steps if c.causal_decoder else c.action_horizon
    g.input("tokens", (1, c.num_tokens), "int64")
    g.input("prefix", (1,), "int64")
    declare_condition(g, tokenizer)
    memories = build_memory(g, tokenizer)
    layers = tokenizer.decoder.decoder["layers"]
    x, mask = _start(tokenizer, rows)
    x = g.constant(x, "queries")
    for index, (layer, memory) in enumerate(zip(layers, memories, strict=True)):
        name = f"layers.{index}"
        if index > 0:
            x = _self_attention(g, f"{name}.self_attn", layer, x, rows, g.constant(mask, "mask"))
        x = _cross_attention(g, f"{name}.cross_attn", layer, x, rows, memory)
        x = _feed_forward(g, name, layer, x)
    action = _actions(g, tokenizer, x, rows)
    if steps < rows:
        bounds = (g.constant(np.array([edge]), "edge") for edge in (0, steps, 0))
        action = g.op("Slice", action, *bounds)
    g.output(g.reshape(action, 1, steps, c.action_dim), "action", (1, steps, c.action_dim))
    return g.build()


def _start(tokenizer: OATTokenizer, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The queries after the first self-attention (steps, C), and the mask (steps, steps)."""
    decoder = tokenizer.decoder
    mask = torch.zeros(steps, steps) if decoder.mask is None else decoder.mask[:steps, :steps]
    x = decoder.sample_pos_emb()[:, :steps]
    layer = decoder.decoder["layers"][0]
    y = layer.norm1(x)
    y = layer.self_attn(y, y, y, attn_mask=mask, need_weights=False)[0]
    return array((x + y)[0]), np.maximum(array(mask), -1e9)


def _output_bias(attention: nn.MultiheadAttention) -> np.ndarray:
    """The output's bias (C,), that of the values folded in."""
    return array(attention.out_proj(attention.in_proj_bias.chunk(3)[2]))


def _self_attention(
    g: GraphBuilder, name: str, layer: nn.TransformerDecoderLayer, x: str, steps: int, mask: str
) -> str:
    """x (H, C) → the sum with the residual (H, C)."""
    attention = layer.self_attn
    heads, size = attention.num_heads, attention.head_dim
    wq, bq = scaled_queries(attention)
    _, wk, wv = attention.in_proj_weight.chunk(3)
    weight = array(torch.cat([wq, wk, wv]).T)
    bias = array(torch.cat([bq, torch.zeros(2 * len(bq))]))
    qkv = g.linear(f"{name}.qkv", g.layer_norm(x, layer.norm1), weight, bias)  # (H, 3C)
    qkv = g.transpose(g.reshape(qkv, steps, 3, heads, size), 1, 2, 0, 3)  # (3, nh, H, hs)
    q, k, v = g.split_op("Split", 3, qkv, axis=0)
    scores = g.op("MatMul", q, g.transpose(k, 0, 1, 3, 2))  # (1, nh, H, H)
    weights = g.op("Softmax", g.op("Add", scores, mask), axis=-1)
    y = g.transpose(g.op("MatMul", weights, v), 0, 2, 1, 3)  # (1, H, nh, hs)
    y, weight = g.reshape(y, steps, heads * size), array(attention.out_proj.weight.T)
    y = g.linear(f"{name}.out_proj", y, weight, _output_bias(attention))
    return g.op("Add", x, y)


def _cross_attention(
    g: GraphBuilder,
    name: str,
    layer: nn.TransformerDecoderLayer,
    x: str,
    steps: int,
    memory: Memory,
) -> str:
    """x (H, C) → the sum with the residual (H, C)."""
    heads = layer.multihead_attn.num_heads
    keys = g.transpose(memory.keys, 1, 0)
    scores = g.product(f"{name}.scores", g.layer_norm(x, layer.norm2), keys)
    scores = g.reshape(g.op("Add", scores, memory.bias), steps, heads, -1)
    weights = g.reshape(g.op("Softmax", scores, axis=-1), steps, -1)  # (H, nh * M)
    y = g.product(f"{name}.mix", weights, memory.values)
    y = g.op("Add", y, g.constant(_output_bias(layer.multihead_attn), "bias"))
    return g.op("Add", x, y)


def _feed_forward(g: GraphBuilder, name: str, layer: nn.TransformerDecoderLayer, x: str) -> str:
    up, down = layer.linear1, layer.linear2
    y = g.layer_norm(x, layer.norm3)
    y = g.gelu(g.linear(f"{name}.linear1", y, array(up.weight).T, array(up.bias)))
    y = g.linear(f"{name}.linear2", y, array(down.weight).T, array(down.bias))
    return g.op("Add", x, y)


def _actions(g: GraphBuilder, tokenizer: OATTokenizer, x: str, rows: int) -> str:
    """The head and the inverse normaliser in one product; clamped where the tokenizer clamps."""
    head, norm = tokenizer.decoder.head, tokenizer.normalizer
    x = g.layer_norm(x, head.norm)
    if tokenizer.config.observed:
        scale = DEPARTURE_GAIN * norm.scale
        weight, bias = array(head.proj.weight.T / scale), array(head.proj.bias / scale)
        departure = g.linear("actions", x, weight, bias)
        action = g.op("Add", departure, expected_chunk(g, tokenizer, rows))
    else:
        weight = array(head.proj.weight.T / norm.scale)
        bias = array((head.proj.bias - norm.offset) / norm.scale)
        action = g.linear("actions", x, weight, bias)
    if not tokenizer.config.clamp:
        return action
    low, high = (norm.inverse(torch.full_like(norm.scale, sign)) for sign in (-1.0, 1.0))
    action = g.op("Max", action, g.constant(array(low), "minimum"))
    return g.op("Min", action, g.constant(array(high), "maximum"))
