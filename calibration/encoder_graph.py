"""The tokenizer's encoder as a graph: offline, it turns demonstrated chunks into tokens.

Runs in FP32 only: a token is the result of a rounding, and nobody waits for it.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch

from calibration.condition_graph import (
    declare_condition,
    embedded_observation,
    expected_chunk,
)
from calibration.graph_builder import GraphBuilder
from calibration.policy_layers import array
from models.condition import DEPARTURE_GAIN
from models.layers import EncoderBlock, GatedMLP, SelfAttention
from models.tokenizer import OATTokenizer


@torch.no_grad()
def build_encode(tokenizer: OATTokenizer) -> onnx.ModelProto:
    """``chunks`` (1, H, D) and the condition, raw, → ``tokens`` (1, R) int64."""
    c, g = tokenizer.config, GraphBuilder("encode")
    encoder = tokenizer.encoder
    chunks = g.input("chunks", (1, c.action_horizon, c.action_dim))
    declare_condition(g, tokenizer)
    x = g.op("Add", _patches(g, tokenizer, chunks), g.constant(array(encoder.pos_emb()[0]), "pos"))
    if c.observed:
        x = g.op("Add", x, embedded_observation(g, tokenizer, encoder.condition_emb))
    elif c.conditioned_on_command:
        command, emb = _normalised(g, tokenizer, "command"), encoder.condition_emb
        x = g.op("Add", x, g.linear("command", command, array(emb.weight.T), array(emb.bias)))
    x = g.op("Concat", x, g.constant(array(encoder.registers), "registers"), axis=0)  # (P + R, C)
    mask = g.constant(np.where(array(encoder.mask) > 0, 0.0, -1e9), "mask")
    for index, block in enumerate(encoder.transformer["blocks"]):
        x = _block(g, f"blocks.{index}", block, x, mask)
    patches = c.action_horizon // c.patch
    bounds = (patches, patches + c.num_tokens, 0)
    x = g.op("Slice", x, *(g.constant(np.array([edge]), "edge") for edge in bounds))  # (R, C)
    head = encoder.head
    x = g.linear(
        "head", g.layer_norm(x, head.norm), array(head.proj.weight.T), array(head.proj.bias)
    )
    g.output(
        g.reshape(_indices(g, tokenizer, x), 1, c.num_tokens), "tokens", (1, c.num_tokens), "int64"
    )
    return g.build()


def _normalised(g: GraphBuilder, tokenizer: OATTokenizer, raw: str) -> str:
    norm = tokenizer.normalizer
    scaled = g.op("Mul", raw, g.constant(array(norm.scale), "scale"))
    return g.op("Add", scaled, g.constant(array(norm.offset), "offset"))


def _departure(g: GraphBuilder, tokenizer: OATTokenizer, chunks: str) -> str:
    expected = expected_chunk(g, tokenizer, tokenizer.config.action_horizon)
    scale = array(tokenizer.normalizer.scale * DEPARTURE_GAIN)
    return g.op("Mul", g.op("Sub", chunks, expected), g.constant(scale, "scale"))


def _patches(g: GraphBuilder, tokenizer: OATTokenizer, chunks: str) -> str:
    """Raw chunks (1, H, D) → (P, C)."""
    c, proj = tokenizer.config, tokenizer.encoder.sample_emb.patch_proj
    x = _departure(g, tokenizer, chunks) if c.observed else _normalised(g, tokenizer, chunks)
    x = g.reshape(x, c.action_horizon // c.patch, c.patch * c.action_dim)
    return g.linear("patches", x, array(proj.weight.T), array(proj.bias))


def _block(g: GraphBuilder, name: str, block: EncoderBlock, x: str, mask: str) -> str:
    """x (T, C) → the same; mask (T, T) is added to the scores."""
    y = _attention(g, f"{name}.attn", block.attn, g.layer_norm(x, block.norm1), mask)
    x = g.op("Add", x, y)
    return g.op("Add", x, _gated(g, f"{name}.mlp", block.mlp, g.layer_norm(x, block.norm2)))


def _attention(g: GraphBuilder, name: str, attn: SelfAttention, x: str, mask: str) -> str:
    heads, size = attn.heads, attn.head_dim

    def project(part: str) -> str:
        weight = array(getattr(attn, f"w{part}").weight.T)
        return g.reshape(g.linear(f"{name}.{part}", x, weight), -1, heads, size)  # (T, nh, hs)

    q = g.transpose(g.layer_norm(project("q"), attn.q_norm), 1, 0, 2)
    k = g.transpose(g.layer_norm(project("k"), attn.k_norm), 1, 2, 0)
    q = g.op("Mul", q, g.constant(np.array(size**-0.5), "scale"))
    scores = g.op("Add", g.product(f"{name}.scores", q, k), mask)  # (nh, T, T)
    v = g.transpose(project("v"), 1, 0, 2)
    y = g.product(f"{name}.mix", g.op("Softmax", scores, axis=-1), v)
    y = g.reshape(g.transpose(y, 1, 0, 2), -1, heads * size)
    return g.linear(f"{name}.proj", y, array(attn.proj.weight.T))


def _gated(g: GraphBuilder, name: str, mlp: GatedMLP, x: str) -> str:
    gate = g.linear(f"{name}.gate", x, array(mlp.fc1.weight.T))
    gate = g.op("Mul", gate, g.op("Sigmoid", gate))  # SiLU
    y = g.op("Mul", gate, g.linear(f"{name}.up", x, array(mlp.fc3.weight.T)))
    return g.linear(f"{name}.down", y, array(mlp.fc2.weight.T))


def _indices(g: GraphBuilder, tokenizer: OATTokenizer, latents: str) -> str:
    """Finite scalar quantization of latents (R, levels) to codes (R,), as in ``models.fsq``."""
    shift, half_width, offset = tokenizer.quantizer.bounds()
    x = g.op("Tanh", g.op("Add", latents, g.constant(array(shift), "shift")))
    x = g.op("Mul", x, g.constant(array(half_width), "half_width"))
    x = g.op("Round", g.op("Sub", x, g.constant(array(offset), "offset")))
    half = tokenizer.quantizer.levels // 2
    digits = g.op(
        "Cast", g.op("Add", x, g.constant(array(half), "half")), to=onnx.TensorProto.INT64
    )
    weighted = g.op("Mul", digits, g.constant(tokenizer.quantizer.strides.numpy(), "strides"))
    return g.op("ReduceSum", weighted, g.constant(np.array([-1]), "axis"), keepdims=0)
