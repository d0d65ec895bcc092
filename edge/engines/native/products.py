"""How matrix products are lowered: with constant weights, packed; with other activations, as is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.engines.native.lowering import Lowering
from edge.engines.native.memory import Array
from edge.engines.native.operations import BLOCK, GROUP, MAX_AXES, Kind
from edge.engines.native.weights import Packed, pack, pack_for_levels, pack_quantized

if TYPE_CHECKING:
    from onnx import NodeProto

_NARROW = BLOCK // 4  # fewer columns than this are not worth a block


def matmul(lowering: Lowering, node: NodeProto) -> None:
    """MatMul of two or more axes, batches broadcast."""
    weights = lowering.constants.get(node.input[1])
    if weights is None or weights.shape[-1] < _NARROW:
        left, right = lowering.floats(node, 2)
        _with_activations(lowering, node, left, right)
    else:
        _with_weights(lowering, node, weights)


def _with_activations(lowering: Lowering, node: NodeProto, left: Array, right: Array) -> None:
    shape = _shape(lowering, node, left, right)
    out = lowering.result(node.output[0], shape)
    _emit(lowering, Kind.MATMUL, [out, _spread(left, shape), _spread(right, shape)])


def _with_weights(lowering: Lowering, node: NodeProto, weights: Array) -> None:
    left, packed = _packed(lowering, node, weights)
    shape = _shape(lowering, node, left, weights)
    if left.strides[-1] != left.itemsize:
        left = lowering.contiguous(left)
    name, start, sign = _added_to(lowering, node, shape)
    out = lowering.result(name, shape)
    if weights.ndim == 2:  # one product of all rows
        left, flat = lowering.contiguous(left).reshape(-1, left.shape[-1]), (-1, shape[-1])
        out = out.reshape(flat)
        start = None if start is None else start.reshape(flat) if start.ndim > 1 else start
    data = lowering.memory.constant(packed.data)
    batch = out.shape[:-2]
    blocks = np.broadcast_to(data, (*batch, data.shape[-1]))[..., None, :]
    arrays = [out, np.broadcast_to(left, (*batch, *left.shape[-2:])), blocks]
    if start is not None:
        arrays.append(np.broadcast_to(start, out.shape))
    _emit(lowering, packed.kind, arrays, depth=left.shape[-1], sign=sign)


def _packed(lowering: Lowering, node: NodeProto, weights: Array) -> tuple[Array, Packed]:
    """The activations as the product reads them, and the weights packed for it."""
    levels, quantized = lowering.levels.get(node.input[0]), lowering.quantized.get(node.input[1])
    if lowering.integer_products and levels and quantized and not len(weights) % GROUP:
        return levels.counts, pack_for_levels(quantized, levels)
    (left,) = lowering.floats(node)
    if quantized:
        return left, pack_quantized(quantized)
    return left, pack(weights.astype(np.float32, copy=False))


def _added_to(
    lowering: Lowering, node: NodeProto, shape: tuple[int, ...]
) -> tuple[str, Array | None, float]:
    """The value that a product is for, what it is added to, and with which sign.

    A sum or difference that alone reads the product, of something that is known already, is taken
    over.
    """
    product = node.output[0]
    user = lowering.sole_user(product)
    if user is None or user.op_type not in ("Add", "Sub"):
        return product, None, 1.0
    other = user.input[1] if user.input[0] == product else user.input[0]
    if not lowering.is_known(other):
        return product, None, 1.0
    minus = user.op_type == "Sub"
    if minus and other == user.input[1]:
        if other not in lowering.constants:
            return product, None, 1.0
        start = lowering.memory.constant(-lowering.constants[other].astype(np.float32))
        minus = False
    else:
        start = lowering.value(other)
    fits = start.ndim == 1 or start.shape == shape
    if not fits or start.shape[-1] != shape[-1] or start.strides[-1] != start.itemsize:
        return product, None, 1.0
    if not start.flags.c_contiguous:
        return product, None, 1.0
    lowering.done.add(user.output[0])
    return user.output[0], start, -1.0 if minus else 1.0


def _shape(lowering: Lowering, node: NodeProto, left: Array, right: Array) -> tuple[int, ...]:
    if min(left.ndim, right.ndim) < 2 or left.shape[-1] != right.shape[-2]:
        raise lowering.refusal(node, f"product of {left.shape} and {right.shape}")
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    if len(batch) > MAX_AXES - 2:
        raise lowering.refusal(node, f"{len(batch)} batch axes, not {MAX_AXES - 2}")
    return (*batch, left.shape[-2], right.shape[-1])


def _spread(value: Array, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(value, (*shape[:-2], *value.shape[-2:]))


def _emit(
    lowering: Lowering, kind: Kind, arrays: list[Array], depth: int = 0, sign: float = 1.0
) -> None:
    *batch, rows, columns = arrays[0].shape
    lowering.emit(
        kind,
        arrays,
        [_strides(array) for array in arrays],
        axes=len(batch),
        dims=batch,
        rows=rows,
        columns=columns,
        depth=depth or arrays[1].shape[-1],
        values=[sign],
    )


def _strides(array: Array) -> list[int]:
    """In elements: of the batch axes first, of rows and columns last."""
    steps = [stride // array.itemsize for stride in array.strides]
    return steps[:-2] + [0] * (MAX_AXES - array.ndim) + steps[-2:]
