"""ONNX graphs of one product, in every strong type."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def product(weight: np.ndarray, quantized: bool, op: str = "MatMul") -> bytes:
    """A graph of one product, x (1, 16) by a weight (16, 16); INT8 by explicit Q/DQ if asked."""
    nodes, constants = [], []
    operands = []
    for name, scale, array in (("x", np.array(0.02), None), ("w", np.full(16, 0.01), weight)):
        if not quantized:
            operands.append(name)
            continue
        axis = {} if array is None else {"axis": 1}
        zero = np.zeros(scale.shape, np.int8)
        constants.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale"))
        constants.append(numpy_helper.from_array(zero, f"{name}_zero"))
        tail = [f"{name}_scale", f"{name}_zero"]
        source = name
        if array is None:
            nodes.append(helper.make_node("QuantizeLinear", [name, *tail], [f"{name}_q"]))
            source = f"{name}_q"
        nodes.append(helper.make_node("DequantizeLinear", [source, *tail], [f"{name}_f"], **axis))
        operands.append(f"{name}_f")
    nodes.append(helper.make_node(op, operands, ["y"], "the_product"))
    constants.append(numpy_helper.from_array(weight, "w"))
    kind = TensorProto.FLOAT if weight.dtype != np.float16 else TensorProto.FLOAT16
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", kind, (1, 16))],
        [helper.make_tensor_value_info("y", kind, (1, 16))],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


WEIGHTS: dict[str, tuple[np.ndarray, bool]] = {
    "fp32": (np.eye(16, dtype=np.float32), False),
    "fp16": (np.eye(16, dtype=np.float16), False),
    "int8": (np.eye(16, dtype=np.int8), True),
}
