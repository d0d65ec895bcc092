"""Compute as floating-point operations, so that methods of different cost get equal shares.

Counted are the matrix products of forward and backward passes (a multiplication and an addition are
two), attention's among them; not counted: elementwise work, validation, and what needs no gradient.
Unlike seconds, the figure is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from models.training import Objective

TERA = 1e12
_BATCHES = 4

_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_ATTENTION_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
Shape = Sequence[int]


def step_operations(model: nn.Module, objective: Objective, batch_size: int) -> float:
    """Operations of one training step, the mean of a few random batches.

    Gradients and random numbers are left as they were.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with FlopCounterMode(display=False, custom_mapping=_attention()) as counter:
            for _ in range(_BATCHES):
                objective.loss(model, batch_size).backward()
    model.zero_grad()
    return counter.get_total_flops() / _BATCHES


def _attention() -> dict[Any, Any]:
    """Formulas for the CPU's fused attention, which torch does not count by itself."""

    def forward(q: Shape, k: Shape, v: Shape, *_: Any, **__: Any) -> int:
        return sdpa_flop_count(q, k, v)

    def backward(grad: Shape, q: Shape, k: Shape, v: Shape, *_: Any, **__: Any) -> int:
        return sdpa_backward_flop_count(grad, q, k, v)

    return {
        _ATTENTION: forward,
        _ATTENTION_BACKWARD: backward,
    }
