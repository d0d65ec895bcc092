"""A thin writer of ONNX graphs: every node is chosen by hand, so that few of them remain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn

OPSET = 17
IR_VERSION = 8
"""Both old enough for onnxruntime 1.16 and TensorRT 10.3."""

_ELEMENT = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


class GraphBuilder:
    """Collects nodes and constants; values are passed around by name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Sequence[int], dtype: str = "float32") -> str:
        """Declares an input of the graph."""
        self._inputs.append(helper.make_tensor_value_info(name, _ELEMENT[dtype], shape))
        return name

    def output(self, value: str, name: str, shape: Sequence[int], dtype: str = "float32") -> None:
        """Declares an output of the graph, which names the last node that made ``value``."""
        self._outputs.append(helper.make_tensor_value_info(name, _ELEMENT[dtype], shape))
        for node in self._nodes:
            node.output[:] = [name if output == value else output for output in node.output]
            node.input[:] = [name if input_ == value else input_ for input_ in node.input]

    def constant(self, value: np.ndarray, label: str = "constant") -> str:
        """Adds an initializer; floats are stored as FP32, integers as INT64."""
        kind = np.int64 if np.issubdtype(value.dtype, np.integer) else np.float32
        name = f"{label}_{len(self._constants)}"
        array = np.ascontiguousarray(value, dtype=kind)
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one output and returns that output's name."""
        return self.split_op(kind, 1, *inputs, **attributes)[0]

    def split_op(self, kind: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Adds a node with several outputs."""
        index = len(self._nodes)
        names = [f"{kind.lower()}_{index}_{i}" for i in range(outputs)]
        self._nodes.append(
            helper.make_node(kind, list(inputs), names, f"{kind}_{index}", **attributes)
        )
        return names

    def product(self, layer: str, left: str, right: str) -> str:
        """A MatMul whose node is named ``layer``: what quantization and its reports speak of."""
        y = self.op("MatMul", left, right)
        self._nodes[-1].name = layer
        return y

    def build(self, metadata: Mapping[str, str] | None = None) -> onnx.ModelProto:
        """The checked model, shapes inferred."""
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, self._constants
        )
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, producer_name="oat-edge", opset_imports=opset)
        model.ir_version = IR_VERSION
        helper.set_model_props(model, dict(metadata or {}))
        onnx.checker.check_model(model, full_check=True)
        return model

    # The few compound steps that the graphs share.

    def linear(self, layer: str, x: str, weight: np.ndarray, bias: np.ndarray | None = None) -> str:
        """``x @ weight + bias``; weight is (in, out), the transpose of torch's."""
        y = self.product(layer, x, self.constant(weight, "weight"))
        return y if bias is None else self.op("Add", y, self.constant(bias, "bias"))

    def layer_norm(self, x: str, norm: nn.LayerNorm) -> str:
        """Layer normalisation over the last axis; a norm without parameters gets neutral ones."""
        size = norm.normalized_shape
        gain = np.ones(size) if norm.weight is None else norm.weight.detach().numpy()
        shift = np.zeros(size) if norm.bias is None else norm.bias.detach().numpy()
        inputs = (x, self.constant(gain, "gain"), self.constant(shift, "shift"))
        return self.op("LayerNormalization", *inputs, axis=-1, epsilon=norm.eps)

    def rms_norm(self, x: str, norm: nn.RMSNorm) -> str:
        """Root mean square normalisation, in the pattern that onnxruntime fuses into one kernel."""
        square = self.op("Pow", x, self.constant(np.array(2.0)))
        mean = self.op("ReduceMean", square, axes=[-1], keepdims=1)
        root = self.op("Sqrt", self.op("Add", mean, self.constant(np.array(norm.eps))))
        gain = self.constant(norm.weight.detach().numpy(), "gain")
        return self.op("Mul", self.op("Div", x, root), gain)

    def gelu(self, x: str) -> str:
        """The exact GELU, in the pattern that onnxruntime fuses into one kernel."""
        erf = self.op("Erf", self.op("Div", x, self.constant(np.array(2.0**0.5))))
        gate = self.op("Add", erf, self.constant(np.array(1.0)))
        return self.op("Mul", self.op("Mul", x, gate), self.constant(np.array(0.5)))

    def reshape(self, x: str, *shape: int) -> str:
        """Reshape to constant sizes; -1 is inferred."""
        return self.op("Reshape", x, self.constant(np.array(shape), "shape"))

    def transpose(self, x: str, *axes: int) -> str:
        """Permutes the axes."""
        return self.op("Transpose", x, perm=axes)
