"""Weights stored in FP16 and widened as a graph is loaded: half the bytes, arithmetic in FP32.

Engines fold the Cast that follows each of them.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.products import SMALLEST_WEIGHT


def half_weights(model: onnx.ModelProto, nodes: Collection[str]) -> onnx.ModelProto:
    """A copy in which the second operand of the products ``nodes``, an initializer, is FP16.

    The weight's last 13 of 24 bits are lost.
    """
    return _narrowed(model, {node.input[1] for node in model.graph.node if node.name in nodes})


def exact_half_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which large weights are FP16 wherever this loses nothing.

    A checkpoint's matrices are FP16; those that nothing was folded into are so still.
    """
    return _narrowed(model, {item.name for item in model.graph.initializer if _is_half(item)})


def _is_half(tensor: onnx.TensorProto) -> bool:
    if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALLEST_WEIGHT:
        return False
    values = numpy_helper.to_array(tensor)
    return bool(np.array_equal(values.astype(np.float16).astype(np.float32), values))


def _narrowed(model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    weights = [item for item in copy.graph.initializer if item.name in names]
    for index, weight in enumerate(weights):
        name = f"{weight.name}.fp16"
        narrow = numpy_helper.to_array(weight).astype(np.float16)
        cast = helper.make_node("Cast", [name], [weight.name], f"Cast_{name}", to=TensorProto.FLOAT)
        copy.graph.node.insert(index, cast)
        weight.CopyFrom(numpy_helper.from_array(narrow, name))
    onnx.checker.check_model(copy, full_check=True)
    return copy
