"""Weights stored in FP16 and widened as a graph is loaded: half the bytes, arithmetic in FP32.

Engines fold the Cast that follows each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.products import SMALLEST_WEIGHT


def half_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every large FP32 weight is FP16: its last 13 of 24 bits are lost."""
    return _narrowed(model, _large(model, lambda values: True))


def exact_half_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which large weights are FP16 wherever this loses nothing.

    A checkpoint's matrices are FP16; those that nothing was folded into are so still.
    """
    return _narrowed(model, _large(model, _is_half))


def _large(model: onnx.ModelProto, wanted: Callable[[np.ndarray], bool]) -> set[str]:
    """Names of the large FP32 weights whose values are ``wanted``."""
    large = (
        item
        for item in model.graph.initializer
        if item.data_type == TensorProto.FLOAT and np.prod(item.dims) >= SMALLEST_WEIGHT
    )
    return {item.name for item in large if wanted(numpy_helper.to_array(item))}


def _is_half(values: np.ndarray) -> bool:
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
