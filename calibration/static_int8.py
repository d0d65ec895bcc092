"""Static INT8 by explicit QuantizeLinear and DequantizeLinear, as TensorRT takes it.

Symmetric throughout, zero points 0: weights per output channel, activations per tensor with a
scale from calibration. Biases stay as they are: TensorRT's parser refuses INT32 ones.

onnxruntime makes a floating Gemm of a MatMul and the Add that follows before it looks for quantized
operands. So the Add becomes a Sub, which it leaves alone, of the negated bias or product.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

LARGEST = 127
"""-128 stays unused, so that the range is symmetric."""


def static_int8(model: onnx.ModelProto, scales: Mapping[str, float]) -> onnx.ModelProto:
    """A copy whose products named in ``scales`` run in INT8; all else stays FP32.

    ``scales``: for each MatMul node by name, the step of its first operand. Its second operand is
    an initializer (in, out). Raises ValueError for a name that the graph lacks.
    """
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    graph = quantized.graph
    missing = set(scales) - {node.name for node in graph.node}
    if missing:
        raise ValueError(f"no node {min(missing)!r} in graph {graph.name!r}")
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.name in scales:
            _subtract(graph, weights, node)
            activation = _quantized_activation(graph, nodes, node, scales[node.name])
            weight = _quantized_weight(graph, nodes, node.name, weights[node.input[1]])
            node.input[:] = [activation, weight]
        nodes.append(node)
    _replace_nodes(graph, nodes)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


def quantize_weight(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes (in, out) int8 and steps (out,) float32 of a weight (in, out)."""
    largest = np.abs(weight).max(axis=0)
    steps = np.where(largest > 0, largest / LARGEST, 1.0).astype(np.float32)
    codes = np.clip(np.rint(weight / steps), -LARGEST, LARGEST).astype(np.int8)
    return codes, steps


def _subtract(
    graph: onnx.GraphProto, constants: Mapping[str, onnx.TensorProto], product: onnx.NodeProto
) -> None:
    """Turn the Add after a product into a Sub of equal value."""
    value = product.output[0]
    consumers = [node for node in graph.node if value in node.input]
    if len(consumers) != 1 or consumers[0].op_type != "Add":
        return
    add = consumers[0]
    (other,) = (name for name in add.input if name != value)
    add.op_type = "Sub"
    if other in constants:
        _negate(constants[other])
        add.input[:] = [value, other]
    else:
        _negate(constants[product.input[1]])
        add.input[:] = [other, value]


def _negate(tensor: onnx.TensorProto) -> None:
    tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))


def _quantized_activation(
    graph: onnx.GraphProto, nodes: list[onnx.NodeProto], node: onnx.NodeProto, step: float
) -> str:
    name = f"{node.name}.input"
    parameters = _constants(graph, name, np.array(step, np.float32))
    codes, value = f"{name}.q", f"{name}.dq"
    source = node.input[0]
    nodes.append(helper.make_node("QuantizeLinear", [source, *parameters], [codes], codes))
    nodes.append(helper.make_node("DequantizeLinear", [codes, *parameters], [value], value))
    return value


def _quantized_weight(
    graph: onnx.GraphProto, nodes: list[onnx.NodeProto], layer: str, weight: onnx.TensorProto
) -> str:
    codes, steps = quantize_weight(numpy_helper.to_array(weight))
    name = f"{layer}.weight"
    parameters = _constants(graph, name, steps)
    graph.initializer.remove(weight)
    graph.initializer.append(numpy_helper.from_array(codes, f"{name}.q"))
    value = f"{name}.dq"
    inputs = [f"{name}.q", *parameters]
    nodes.append(helper.make_node("DequantizeLinear", inputs, [value], value, axis=1))
    return value


def _constants(graph: onnx.GraphProto, name: str, step: np.ndarray) -> tuple[str, str]:
    """Names of a new step and its zero point."""
    zero = np.zeros(step.shape, np.int8)
    graph.initializer.append(numpy_helper.from_array(step, f"{name}.step"))
    graph.initializer.append(numpy_helper.from_array(zero, f"{name}.zero"))
    return f"{name}.step", f"{name}.zero"


def _replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
