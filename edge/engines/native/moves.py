"""Nodes that compute nothing: most only show memory in another way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.engines.native.lowering import Lowering, attribute

if TYPE_CHECKING:
    from onnx import NodeProto

_FLOATS = (1, 10)  # onnx.TensorProto.FLOAT and FLOAT16


def cast(lowering: Lowering, node: NodeProto) -> None:
    """FP16 and FP32 are one here: all arithmetic is in FP32."""
    value = lowering.value(node.input[0])
    if value.dtype != np.float32 or attribute(node, "to") not in _FLOATS:
        raise lowering.refusal(node, f"casts {value.dtype}")
    lowering.give(node.output[0], value)


def reshape(lowering: Lowering, node: NodeProto) -> None:
    value = lowering.value(node.input[0])
    wanted = lowering.constants[node.input[1]]
    shape = [int(size) or value.shape[axis] for axis, size in enumerate(wanted)]
    lowering.give(node.output[0], lowering.contiguous(value).reshape(shape))


def transpose(lowering: Lowering, node: NodeProto) -> None:
    value = lowering.value(node.input[0])
    lowering.give(node.output[0], value.transpose(attribute(node, "perm")))


def split(lowering: Lowering, node: NodeProto) -> None:
    value = lowering.value(node.input[0])
    axis = attribute(node, "axis", 0)
    count = len(node.output)
    if len(node.input) > 1:
        sizes = lowering.constants[node.input[1]].tolist()
    else:
        sizes = [-(-value.shape[axis] // count)] * count
    parts = np.split(value, np.cumsum(sizes)[:-1], axis)
    for name, part in zip(node.output, parts, strict=True):
        lowering.give(name, part)


def cut(lowering: Lowering, node: NodeProto) -> None:
    value = lowering.value(node.input[0])
    starts, ends, *rest = (lowering.constants[name].tolist() for name in node.input[1:])
    axes = rest[0] if rest else range(len(starts))
    steps = rest[1] if len(rest) > 1 else [1] * len(starts)
    bounds = [slice(None)] * value.ndim
    for axis, *limits in zip(axes, starts, ends, steps, strict=True):
        bounds[axis] = slice(*limits)
    lowering.give(node.output[0], value[tuple(bounds)])


def concat(lowering: Lowering, node: NodeProto) -> None:
    values = lowering.inputs(node)
    axis = attribute(node, "axis")
    shape = list(values[0].shape)
    shape[axis] = sum(value.shape[axis] for value in values)
    out = lowering.result(node.output[0], shape, values[0].dtype)
    ends = np.cumsum([value.shape[axis] for value in values])[:-1]
    for value, room in zip(values, np.split(out, ends, axis), strict=True):
        lowering.copy(value, room)
