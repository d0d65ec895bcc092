"""What a tokenizer is conditioned on, as the part of a graph that its inputs enter."""

from __future__ import annotations

import torch
from torch import nn

from calibration.graph_builder import GraphBuilder
from calibration.policy_layers import array
from models.tokenizer import OATTokenizer


def declare_condition(g: GraphBuilder, tokenizer: OATTokenizer) -> None:
    """The inputs: ``command`` (1, D), or all features by their keys (1, S, dim); raw."""
    c = tokenizer.config
    if c.observed:
        for key, dim in c.observed.items():
            g.input(key, (1, c.observed_steps, dim))
    elif c.conditioned_on_command:
        g.input("command", (1, c.action_dim))


def embedded_observation(g: GraphBuilder, tokenizer: OATTokenizer, embedding: nn.Sequential) -> str:
    """Raw features → their embedding (1, C)."""
    enter, _, leave = embedding
    x = g.gelu(_entered(g, tokenizer, "features", enter))
    return g.linear("observation", x, array(leave.weight.T), array(leave.bias))


def expected_chunk(g: GraphBuilder, tokenizer: OATTokenizer, steps: int) -> str:
    """Raw features → the first steps of the chunk that they let expect, raw (steps, D)."""
    c, forecast = tokenizer.config, tokenizer.forecast
    x = _entered(g, tokenizer, "forecast.enter", forecast.enter)
    for index, (norm, up, _, _, down) in enumerate(forecast.blocks):
        name = f"forecast.blocks.{index}"
        y = g.linear(f"{name}.up", g.layer_norm(x, norm), array(up.weight.T), array(up.bias))
        y = g.linear(f"{name}.down", g.gelu(y), array(down.weight.T), array(down.bias))
        x = g.op("Add", x, y)
    norm = tokenizer.normalizer
    scale, offset = norm.scale.repeat(steps), norm.offset.repeat(steps)
    weight, bias = (p[: len(scale)] for p in (forecast.leave.weight, forecast.leave.bias))
    x = g.layer_norm(x, forecast.norm)
    x = g.linear("forecast.leave", x, array(weight.T / scale), array((bias - offset) / scale))
    return g.reshape(x, steps, c.action_dim)


def _entered(g: GraphBuilder, tokenizer: OATTokenizer, name: str, enter: nn.Linear) -> str:
    """Raw features → (1, out); their normalisers are folded into the layer."""
    c, norms = tokenizer.config, tokenizer.features.in_order
    scale = torch.cat([norm.scale for norm in norms]).repeat(c.observed_steps)
    offset = torch.cat([norm.offset for norm in norms]).repeat(c.observed_steps)
    x = g.reshape(g.op("Concat", *c.observed, axis=2), 1, -1)
    return g.linear(name, x, array((enter.weight * scale).T), array(enter(offset)))
