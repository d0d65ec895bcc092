"""What a tokenizer is conditioned on, as the part of a graph that its inputs enter."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from calibration.graph_builder import GraphBuilder
from calibration.policy_layers import array
from models.dataset import COMMAND_KEY
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
    """Raw features → their embedding (1, C); the normalisers are folded into its first layer."""
    c, (enter, _, leave) = tokenizer.config, embedding
    norms = tokenizer.features.in_order
    scale = torch.cat([norm.scale for norm in norms]).repeat(c.observed_steps)
    offset = torch.cat([norm.offset for norm in norms]).repeat(c.observed_steps)
    x = g.reshape(g.op("Concat", *c.observed, axis=2), 1, -1)
    x = g.linear("features", x, array((enter.weight * scale).T), array(enter(offset)))
    return g.linear("observation", g.gelu(x), array(leave.weight.T), array(leave.bias))


def newest_command(g: GraphBuilder, tokenizer: OATTokenizer) -> str:
    """Of an observation's commands (1, S, D) the last, raw (1, D)."""
    c = tokenizer.config
    bounds = (c.observed_steps - 1, c.observed_steps, 1)
    last = g.op("Slice", COMMAND_KEY, *(g.constant(np.array([b]), "bound") for b in bounds))
    return g.reshape(last, 1, c.action_dim)
