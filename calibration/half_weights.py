"""Weights stored in FP16 and widened as a graph is loaded: half the bytes, arithmetic in FP32."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def half_weights(model: onnx.ModelProto, nodes: Collection[str]) -> onnx.ModelProto:
    """A copy in which the second operand of the products ``nodes``, an initializer, is FP16.

    Engines fold the Cast that follows it. The weight's last 13 of 24 bits are lost.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    weights = {tensor.name: tensor for tensor in copy.graph.initializer}
    casts = []
    for node in copy.graph.node:
        if node.name in nodes:
            weight = weights[node.input[1]]
            narrow = numpy_helper.to_array(weight).astype(np.float16)
            name, wide = f"{node.name}.weight.fp16", f"{node.name}.weight.fp32"
            copy.graph.initializer.remove(weight)
            copy.graph.initializer.append(numpy_helper.from_array(narrow, name))
            casts.append(
                helper.make_node("Cast", [name], [wide], f"Cast_{wide}", to=TensorProto.FLOAT)
            )
            node.input[1] = wide
    for index, cast in enumerate(casts):
        copy.graph.node.insert(index, cast)
    onnx.checker.check_model(copy, full_check=True)
    return copy
