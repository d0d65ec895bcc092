"""Dynamic INT8, for CPUs: weights per channel ahead of time, activations by the range they have."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic


def dynamic_int8(model: onnx.ModelProto, nodes: Sequence[str]) -> onnx.ModelProto:
    """A copy whose products ``nodes`` run in INT8; all else stays FP32."""
    if not nodes:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(
            copy,
            path,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=list(nodes),
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
        quantized = onnx.load(path)
    onnx.checker.check_model(quantized)
    return quantized


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer logs advice on the root logger at every call; it does not apply here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
