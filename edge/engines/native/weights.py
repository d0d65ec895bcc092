"""Constant weights as products read them: in blocks of columns, no wider than they need be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge.engines.native.memory import Array
from edge.engines.native.operations import BLOCK, Kind


class Quantized(NamedTuple):
    """INT8 weights (rows, columns) and the step of each column; its zero points are zero."""

    integers: Array
    steps: Array


class Packed(NamedTuple):
    """What a product of a kind reads; ``data`` has the batch axes of the weights and one more."""

    kind: Kind
    data: Array


def pack(weights: Array) -> Packed:
    """Weights (..., rows, columns): FP16 where that changes no value, else FP32."""
    with np.errstate(over="ignore"):
        half = weights.astype(np.float16)
    if np.array_equal(half.astype(np.float32), weights):
        return Packed(Kind.DENSE_HALF, _blocks(half))
    return Packed(Kind.DENSE, _blocks(weights))


def pack_quantized(weights: Quantized) -> Packed:
    """INT8 weights, then a step for every column of every block."""
    blocks = _blocks(weights.integers)
    steps = np.zeros(-(-len(weights.steps) // BLOCK) * BLOCK, np.float32)
    steps[: len(weights.steps)] = weights.steps
    return Packed(Kind.DENSE_INT8, np.concatenate([blocks, steps.view(np.int8)]))


def _blocks(weights: Array) -> Array:
    *batch, rows, columns = weights.shape
    blocks = -(-columns // BLOCK)
    filled = np.zeros((*batch, rows, blocks * BLOCK), weights.dtype)
    filled[..., :columns] = weights
    split = filled.reshape(*batch, rows, blocks, BLOCK)
    return np.ascontiguousarray(np.moveaxis(split, -2, -3)).reshape(*batch, -1)
