"""FP16 as a strongly typed graph: every tensor has the type that TensorRT is to compute it in.

Inputs and outputs of the graph stay FP32. So do a few products where FP16 would cost accuracy and
save nothing, and the square in a norm, which overflows in FP16.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter

_NEXT_TO_OBSERVATION = ("features", "forecast.enter", "memory.keys", "memory.values")
_NEXT_TO_CHOICE = ("head", "actions", "forecast.leave")
EXACT_PRODUCTS = (*_NEXT_TO_OBSERVATION, *_NEXT_TO_CHOICE)
"""Products next to the observation, the choice of a token, and the actions: FP16 has a step of
0.001 rad above 1 rad, and near logits become equal."""

CACHES = ("cross_kv", "self_kv")
"""Inputs that become FP16 at once; the others carry raw units and do so where they are used."""

LARGEST = 32000.0
"""Constants are clipped to half the range, so that masked scores stay finite."""

_WIDE = ("LayerNormalization", "Pow", "ReduceMean", "Sqrt")  # always FP32
_WIDE_WITH_ANY = ("Concat", "Div")  # FP32 if any operand is
_WIDE_WITH_ALL = ("Add", "ArgMax", "Max", "Min", "Mul", "Reshape", "Slice", "Split", "Transpose")
_QUANTIZED_OPSET = 19  # before, the steps of QuantizeLinear and DequantizeLinear were FP32 only


def float16(model: onnx.ModelProto, exact: Collection[str] = EXACT_PRODUCTS) -> onnx.ModelProto:
    """A strongly typed copy in FP16; the products named in ``exact`` stay FP32.

    What only moves or shifts an FP32 value stays FP32 too: a bias, a clamp, a choice.
    """
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        model = version_converter.convert_version(model, _QUANTIZED_OPSET)
    return _Narrowing(model, exact).run()


class _Narrowing:
    """One pass over the nodes, which are in topological order; adds a Cast where types meet."""

    def __init__(self, model: onnx.ModelProto, exact: Collection[str]) -> None:
        self._model, self._exact = model, exact
        inferred = onnx.shape_inference.infer_shapes(model).graph
        typed = [*inferred.value_info, *inferred.input, *inferred.output]
        kinds = {value.name: value.type.tensor_type.elem_type for value in typed}
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        kinds |= {name: tensor.data_type for name, tensor in self._constants.items()}
        self._float = {name for name, kind in kinds.items() if kind == TensorProto.FLOAT}
        self._type = {
            value.name: TensorProto.FLOAT
            for value in model.graph.input
            if value.name in self._float
        }
        self._nodes: list[onnx.NodeProto] = []
        self._kept: dict[str, onnx.TensorProto] = {}
        self._casts: dict[tuple[str, int], str] = {}

    def run(self) -> onnx.ModelProto:
        for original in self._model.graph.node:
            node = onnx.NodeProto()
            node.CopyFrom(original)
            self._convert(node)
        self._restore_outputs()
        return self._rebuilt()

    def _convert(self, node: onnx.NodeProto) -> None:
        kind = self._kind(node)
        node.input[:] = [self._as(name, kind) for name in node.input]
        for name in node.output:
            if name in self._float:
                self._type[name] = kind
        self._nodes.append(node)

    def _kind(self, node: onnx.NodeProto) -> int:
        """The type in which a node computes; constants have no say."""
        sources = [name for name in node.input if name in self._type]
        wide = [self._type[name] == TensorProto.FLOAT for name in sources]
        if any(name in CACHES for name in sources):
            return TensorProto.FLOAT16
        if (
            node.name in self._exact
            or node.op_type in _WIDE
            or (node.op_type in _WIDE_WITH_ANY and any(wide))
            or (node.op_type in _WIDE_WITH_ALL and wide and all(wide))
        ):
            return TensorProto.FLOAT
        return TensorProto.FLOAT16

    def _as(self, name: str, kind: int) -> str:
        """The value ``name`` in a floating type; other values as they are."""
        if name in self._constants:
            return self._constant(name, kind)
        if name not in self._float or self._type[name] == kind:
            return name
        return self._cast(name, kind)

    def _cast(self, name: str, kind: int) -> str:
        if (name, kind) not in self._casts:
            cast = f"{name}.{'fp16' if kind == TensorProto.FLOAT16 else 'fp32'}"
            self._nodes.append(helper.make_node("Cast", [name], [cast], f"Cast_{cast}", to=kind))
            self._casts[name, kind] = cast
        return self._casts[name, kind]

    def _constant(self, name: str, kind: int) -> str:
        tensor = self._constants[name]
        if name not in self._float or kind == TensorProto.FLOAT:
            self._kept[name] = tensor
            return name
        narrow = f"{name}.fp16"
        if narrow not in self._kept:
            values = np.clip(numpy_helper.to_array(tensor), -LARGEST, LARGEST)
            self._kept[narrow] = numpy_helper.from_array(values.astype(np.float16), narrow)
        return narrow

    def _restore_outputs(self) -> None:
        """Outputs of the graph in FP32 under their own names."""
        for output in self._model.graph.output:
            name = output.name
            if self._type.get(name) != TensorProto.FLOAT16:
                continue
            narrow = f"{name}.fp16"
            for node in self._nodes:
                node.input[:] = [narrow if value == name else value for value in node.input]
                node.output[:] = [narrow if value == name else value for value in node.output]
            self._nodes.append(
                helper.make_node("Cast", [narrow], [name], f"Cast_{name}", to=TensorProto.FLOAT)
            )

    def _rebuilt(self) -> onnx.ModelProto:
        old = self._model.graph
        graph = helper.make_graph(
            self._nodes, old.name, old.input, old.output, list(self._kept.values())
        )
        model = helper.make_model(
            graph,
            producer_name=self._model.producer_name,
            opset_imports=self._model.opset_import,
            ir_version=self._model.ir_version,
        )
        onnx.checker.check_model(model, full_check=True)
        return model
