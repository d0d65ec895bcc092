"""The tokenizer's decoder as a graph, cropped to the steps that will be executed.

Cropping is exact where the decoder is causal over positions. What does not depend on the
input is folded: the queries' first self-attention, the latent projection and positions into keys
and values, their biases (a key's shifts every score alike, a value's passes through the average),
the normaliser of the command and that of the actions.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from calibration.graph_builder import GraphBuilder
from calibration.policy_graphs import array
from models.tokenizer import OATTokenizer


def build_decode(tokenizer: OATTokenizer, steps: int) -> onnx.ModelProto:
    """``tokens`` (1, R), ``prefix`` (1,) [, ``command`` (1, D) rad] → ``action`` (1, steps, D) rad.

    Tokens at index >= prefix are replaced by the mask vector, so they may be any code. A decoder
    that is not causal computes the whole horizon, of which the first ``steps`` are given out.
    """
    c, g = tokenizer.config, GraphBuilder("decode")
    rows = steps if c.causal_decoder else c.action_horizon
    g.input("tokens", (1, c.num_tokens), "int64")
    g.input("prefix", (1,), "int64")
    if c.conditioned_on_command:
        g.input("command", (1, c.action_dim))
    keys, values = _memory(g, tokenizer)
    layers = tokenizer.decoder.decoder["layers"]
    x, mask = _start(tokenizer, rows)
    x = g.constant(x, "queries")
    for index, layer in enumerate(layers):
        name = f"layers.{index}"
        if index > 0:
            x = _self_attention(g, f"{name}.self_attn", layer, x, rows, g.constant(mask, "mask"))
        x = _cross_attention(g, f"{name}.cross_attn", layer, x, rows, keys[index], values[index])
        x = _feed_forward(g, name, layer, x)
    action = _actions(g, tokenizer, x)
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


def _memory(g: GraphBuilder, tokenizer: OATTokenizer) -> tuple[list[str], list[str]]:
    """Keys (nh, hs, M) and values (nh, M, hs) per layer, from tokens, prefix and command.

    Each memory row is linear in a short feature vector: the code, a one-hot of the row if it is
    masked, and the command. So keys and values of all layers come from two small products.
    """
    c = tokenizer.config
    table, mapping, shift = _memory_map(tokenizer)
    index = np.arange(c.num_tokens)[None]
    kept = g.op("Less", g.constant(index, "index"), "prefix")
    masked = g.constant(c.codebook_size + index, "masked")
    rows = g.op("Gather", g.constant(table, "codes"), g.op("Where", kept, "tokens", masked))
    rows = g.reshape(rows, c.num_tokens, -1)  # (R, F)
    if c.conditioned_on_command:
        blank = g.constant(np.zeros((1, table.shape[1] - c.action_dim)), "blank")
        rows = g.op("Concat", rows, g.op("Concat", blank, "command", axis=1), axis=0)
    columns = g.transpose(rows, 1, 0)  # (F, M)
    weights = [_key_value_weights(layer) for layer in tokenizer.decoder.decoder["layers"]]
    wk = np.concatenate([k for k, _ in weights])  # (L * nh, hs, C)
    wv = np.concatenate([v for _, v in weights])
    k = g.product("memory.keys", g.constant(wk @ mapping.T, "wk"), columns)  # (L * nh, hs, M)
    k = g.op("Add", k, g.constant(wk @ shift.T, "kpos"))
    v = g.product("memory.values", rows, g.constant(mapping @ wv.transpose(0, 2, 1), "wv"))
    v = g.op("Add", v, g.constant(shift @ wv.transpose(0, 2, 1), "vpos"))  # (L * nh, M, hs)
    depth = c.decoder_depth
    return g.split_op("Split", depth, k, axis=0), g.split_op("Split", depth, v, axis=0)


def _memory_map(tokenizer: OATTokenizer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Table (codebook + R, F), mapping (F, C), shift (M, C): memory = rows @ mapping + shift."""
    c, decoder = tokenizer.config, tokenizer.decoder
    proj = decoder.latent_proj["proj"]
    codes = tokenizer.quantizer.codes(torch.arange(c.codebook_size))
    blocks = [array(codes), np.eye(c.num_tokens)]
    if c.conditioned_on_command:
        blocks.append(np.zeros((0, c.action_dim)))
    shift = decoder.latent_pos_emb()[0] + proj.bias  # (R, C)
    mapping = [proj.weight.T, decoder.nested_dropout.dropout_mask_token - shift]
    if c.conditioned_on_command:
        emb, norm = decoder.command_emb, tokenizer.normalizer
        mapping.append((emb.weight * norm.scale).T)
        shift = torch.cat([shift, emb(norm.offset)[None]])
    return _block_diagonal(blocks), array(torch.cat(mapping)), array(shift)


def _block_diagonal(blocks: list[np.ndarray]) -> np.ndarray:
    """Blocks (r, c) side by side and below one another, zeros elsewhere."""
    table = np.zeros(np.sum([block.shape for block in blocks], axis=0))
    row = column = 0
    for block in blocks:
        table[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return table


def _key_value_weights(layer: nn.TransformerDecoderLayer) -> tuple[np.ndarray, np.ndarray]:
    """Cross-attention weights of keys and values, each (nh, hs, C)."""
    _, k, v = layer.multihead_attn.in_proj_weight.chunk(3)
    heads = layer.multihead_attn.num_heads
    return array(k.unflatten(0, (heads, -1))), array(v.unflatten(0, (heads, -1)))


def _output(attention: nn.MultiheadAttention) -> tuple[np.ndarray, np.ndarray]:
    """Output weight (C, C) and its bias, the bias of the values folded in."""
    value_bias = attention.in_proj_bias.chunk(3)[2]
    return array(attention.out_proj.weight.T), array(attention.out_proj(value_bias))


def _queries(attention: nn.MultiheadAttention) -> tuple[Tensor, Tensor]:
    """Weight (C, C) and bias (C,) of the queries, scaled by 1/sqrt(hs)."""
    scale = attention.head_dim**-0.5
    return attention.in_proj_weight.chunk(3)[0] * scale, attention.in_proj_bias.chunk(3)[0] * scale


def _self_attention(
    g: GraphBuilder, name: str, layer: nn.TransformerDecoderLayer, x: str, steps: int, mask: str
) -> str:
    """x (H, C) → the sum with the residual (H, C)."""
    attention = layer.self_attn
    heads, size = attention.num_heads, attention.head_dim
    wq, bq = _queries(attention)
    _, wk, wv = attention.in_proj_weight.chunk(3)
    weight = array(torch.cat([wq, wk, wv]).T)
    bias = array(torch.cat([bq, torch.zeros(2 * len(bq))]))
    qkv = g.linear(f"{name}.qkv", g.layer_norm(x, layer.norm1), weight, bias)  # (H, 3C)
    qkv = g.transpose(g.reshape(qkv, steps, 3, heads, size), 1, 2, 0, 3)  # (3, nh, H, hs)
    q, k, v = g.split_op("Split", 3, qkv, axis=0)
    scores = g.op("MatMul", q, g.transpose(k, 0, 1, 3, 2))  # (1, nh, H, H)
    weights = g.op("Softmax", g.op("Add", scores, mask), axis=-1)
    y = g.transpose(g.op("MatMul", weights, v), 0, 2, 1, 3)  # (1, H, nh, hs)
    y = g.linear(f"{name}.out_proj", g.reshape(y, steps, heads * size), *_output(attention))
    return g.op("Add", x, y)


def _cross_attention(
    g: GraphBuilder,
    name: str,
    layer: nn.TransformerDecoderLayer,
    x: str,
    steps: int,
    k: str,
    v: str,
) -> str:
    """x (H, C) attends to k (nh, hs, M), v (nh, M, hs) → the sum with the residual (H, C)."""
    attention = layer.multihead_attn
    heads, size = attention.num_heads, attention.head_dim
    wq, bq = _queries(attention)
    q = g.linear(f"{name}.query", g.layer_norm(x, layer.norm2), array(wq.T), array(bq))
    q = g.transpose(g.reshape(q, steps, heads, size), 1, 0, 2)  # (nh, H, hs)
    weights = g.op("Softmax", g.op("MatMul", q, k), axis=-1)
    y = g.transpose(g.op("MatMul", weights, v), 1, 0, 2)
    y = g.linear(f"{name}.out_proj", g.reshape(y, steps, heads * size), *_output(attention))
    return g.op("Add", x, y)


def _feed_forward(g: GraphBuilder, name: str, layer: nn.TransformerDecoderLayer, x: str) -> str:
    up, down = layer.linear1, layer.linear2
    y = g.layer_norm(x, layer.norm3)
    y = g.gelu(g.linear(f"{name}.linear1", y, array(up.weight).T, array(up.bias)))
    y = g.linear(f"{name}.linear2", y, array(down.weight).T, array(down.bias))
    return g.op("Add", x, y)


def _actions(g: GraphBuilder, tokenizer: OATTokenizer, x: str) -> str:
    """The head and the inverse normaliser in one product; clamped where the tokenizer clamps."""
    head, norm = tokenizer.decoder.head, tokenizer.normalizer
    weight = array(head.proj.weight.T / norm.scale)
    bias = array((head.proj.bias - norm.offset) / norm.scale)
    action = g.linear("actions", g.layer_norm(x, head.norm), weight, bias)
    if not tokenizer.config.clamp:
        return action
    low, high = (norm.inverse(torch.full_like(norm.scale, sign)) for sign in (-1.0, 1.0))
    action = g.op("Max", action, g.constant(array(low), "minimum"))
    return g.op("Min", action, g.constant(array(high), "maximum"))
