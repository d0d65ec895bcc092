"""Constant weights as products read them: in blocks of columns, no wider than they need be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge.engines.native.memory import Array
from edge.engines.native.operations import BLOCK, GROUP, Kind


class Quantized(NamedTuple):
    """INT8 weights (rows, columns) and the step of each column; its zero points are zero."""

    integers: Array
    steps: Array


class Levels(NamedTuple):
    """Quantized activations: each the integer ``low`` and so many above it."""

    counts: Array
    step: float
    zero: float
    low: float

    @property
    def of_zero(self) -> float:
        """The level that stands for 0."""
        return self.zero - self.low


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
    return _with_steps(Kind.DENSE_INT8, _blocks(weights.integers), weights.steps)


def pack_for_levels(weights: Quantized, levels: Levels) -> Packed:
    """INT8 weights in groups of ``GROUP`` rows, whose products with levels are sums of integers.

    Each block begins with what its sums begin with: minus what the zero point adds. Steps of the
    products follow. The number of rows is a multiple of ``GROUP``.
    """
    rows, columns = weights.integers.shape
    groups = weights.integers.reshape(rows // GROUP, GROUP, columns).transpose(0, 2, 1)
    blocks = _blocks(np.ascontiguousarray(groups).view(np.int32)[..., 0])
    starts = -int(levels.of_zero) * weights.integers.sum(0, dtype=np.int32)
    blocks = blocks.reshape(-1, rows // GROUP, BLOCK)
    begun = np.concatenate([_blocks(starts[None]).reshape(-1, 1, BLOCK), blocks], 1)
    return _with_steps(
        Kind.DENSE_LEVELS, begun.reshape(-1).view(np.int8), weights.steps * levels.step
    )


def _with_steps(kind: Kind, blocks: Array, steps: Array) -> Packed:
    filled = np.zeros(-(-len(steps) // BLOCK) * BLOCK, np.float32)
    filled[: len(steps)] = steps
    return Packed(kind, np.concatenate([blocks, filled.view(np.int8)]))


def _blocks(weights: Array) -> Array:
    *batch, rows, columns = weights.shape
    blocks = -(-columns // BLOCK)
    filled = np.zeros((*batch, rows, blocks * BLOCK), weights.dtype)
    filled[..., :columns] = weights
    split = filled.reshape(*batch, rows, blocks, BLOCK)
    return np.ascontiguousarray(np.moveaxis(split, -2, -3)).reshape(*batch, -1)
