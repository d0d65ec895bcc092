"""Dynamic INT8: weights per channel ahead of time, activations per tensor at run time."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

SMALLEST_WEIGHT = 4096
"""A product with fewer weights gains less than quantizing its input costs."""


def quantize_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose large products with a constant matrix run in INT8; all else stays FP32."""
    nodes = large_products(model)
    if not nodes:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return _quantized(copy, nodes)


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer logs advice on the root logger at every call; it does not apply here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def large_products(model: onnx.ModelProto) -> list[str]:
    """Names of the MatMul nodes whose second operand is a large constant matrix."""
    sizes = {
        tensor.name: tensor.dims[0] * tensor.dims[1]
        for tensor in model.graph.initializer
        if len(tensor.dims) == 2
    }
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul" and sizes.get(node.input[1], 0) >= SMALLEST_WEIGHT
    ]


def _quantized(model: onnx.ModelProto, nodes: list[str]) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=nodes,
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
        quantized = onnx.load(path)
    onnx.checker.check_model(quantized)
    return quantized
