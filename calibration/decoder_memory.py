"""What the decoder's cross-attention meets: its part of the graph that tokens and command enter.

The latent projection, the positions and the command's normaliser are folded into keys and values;
so are query weights into the keys and output weights into the values. An observation's row is its
embedding, which has products of its own: no code would share a column with it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from calibration.condition_graph import embedded_observation
from calibration.graph_builder import GraphBuilder
from calibration.policy_layers import array
from models.tokenizer import OATTokenizer


class Memory(NamedTuple):
    """What one layer's queries meet: M rows for each of nh heads, the hidden state has C.

    ``keys`` (nh * M, C) hold the query weights, ``values`` (nh * M, C) the output weights, and
    ``bias`` (1, nh * M) the queries' own bias.
    """

    keys: str
    values: str
    bias: str


def build_memory(g: GraphBuilder, tokenizer: OATTokenizer) -> list[Memory]:
    """Every layer's memory, from tokens, prefix and condition.

    Each memory row is linear in a short feature vector: the code, a one-hot of the row if it is
    masked, and the command. So what all layers need comes from three small products.
    """
    c, observation = tokenizer.config, None
    table, mapping, shift = _memory_map(tokenizer)
    index = np.arange(c.num_tokens)[None]
    kept = g.op("Less", g.constant(index, "index"), "prefix")
    masked = g.constant(c.codebook_size + index, "masked")
    rows = g.op("Gather", g.constant(table, "codes"), g.op("Where", kept, "tokens", masked))
    rows = g.reshape(rows, c.num_tokens, -1)  # (R, F)
    if c.observed:
        observation = embedded_observation(g, tokenizer, tokenizer.decoder.condition_emb)
    elif c.conditioned_on_command:
        blank = g.constant(np.zeros((1, table.shape[1] - c.action_dim)), "blank")
        rows = g.op("Concat", rows, g.op("Concat", blank, "command", axis=1), axis=0)

    def of_layers(name: str, weights: list[np.ndarray]) -> list[str]:
        weight = np.concatenate(weights)  # (L * nh, C, width)
        y = g.linear(f"memory.{name}", rows, mapping @ weight, shift @ weight)
        if observation is not None:
            row = g.linear(f"observation.{name}", observation, weight)
            y = g.op("Concat", y, row, axis=1)
        y = g.reshape(y, -1, weight.shape[-1])
        return g.split_op("Split", c.decoder_depth, y, axis=0)

    maps = [_attention_maps(layer) for layer in tokenizer.decoder.decoder["layers"]]
    keys, values, biases = (
        of_layers(name, [getattr(each, name) for each in maps]) for name in AttentionMaps._fields
    )
    biases = [g.transpose(bias, 1, 0) for bias in biases]
    return [Memory(*parts) for parts in zip(keys, values, biases, strict=True)]


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
        emb, norm = decoder.condition_emb, tokenizer.normalizer
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


class AttentionMaps(NamedTuple):
    """From a memory row to key and value (nh, C, C) and to the scores' bias (nh, C, 1)."""

    keys: np.ndarray
    values: np.ndarray
    bias: np.ndarray


def _attention_maps(layer: nn.TransformerDecoderLayer) -> AttentionMaps:
    """Cross-attention's weights, multiplied with those on the other side of the attention."""
    attention = layer.multihead_attn
    weight, bias = scaled_queries(attention)
    heads = (attention.num_heads, -1)
    _, key, value = attention.in_proj_weight.chunk(3)
    key, value, weight, bias = (w.unflatten(0, heads) for w in (key, value, weight, bias))
    output = attention.out_proj.weight.T.unflatten(0, heads)
    inward = key.mT.double()  # (nh, C, hs)
    return AttentionMaps(
        array(inward @ weight.double()),
        array(value.mT.double() @ output.double()),
        array(inward @ bias.double()[..., None]),
    )


def scaled_queries(attention: nn.MultiheadAttention) -> tuple[Tensor, Tensor]:
    """Weight (C, C) and bias (C,) of the queries, scaled by 1/sqrt(hs)."""
    scale = attention.head_dim**-0.5
    return attention.in_proj_weight.chunk(3)[0] * scale, attention.in_proj_bias.chunk(3)[0] * scale
