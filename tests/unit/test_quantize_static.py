from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from calibration.graph_builder import GraphBuilder
from calibration.half_weights import half_weights
from calibration.products import large_products, layers_of, nodes_of
from calibration.static_int8 import LARGEST, quantize_weight, static_int8
from tests.unit.wide_models import wide_graphs

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(64, 64)).astype(np.float32) * RNG.uniform(0.1, 3, 64).astype(np.float32)
BIAS = RNG.normal(size=64).astype(np.float32)


def residual_layer() -> onnx.ModelProto:
    """x + (x @ W + b) @ W: a product before a bias, and one before a sum of two values."""
    g = GraphBuilder("layer")
    x = g.input("x", (4, 64))
    y = g.linear("up", x, WEIGHT, BIAS)
    y = g.op("Add", x, g.linear("down", y, WEIGHT))
    g.output(y, "y", (4, 64))
    return g.build()


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {"x": x})[0]


def rounded(value: np.ndarray, step: float) -> np.ndarray:
    return np.clip(np.rint(value / step), -128, 127) * step


def test_weights_are_symmetric_per_column_and_off_by_half_a_step_at_most() -> None:
    codes, steps = quantize_weight(WEIGHT)
    assert codes.dtype == np.int8
    assert np.abs(codes).max(axis=0).tolist() == [LARGEST] * 64
    assert (np.abs(codes * steps - WEIGHT) <= steps / 2 * 1.001).all()
    codes, steps = quantize_weight(np.zeros((3, 2), np.float32))
    assert not codes.any()
    assert (steps > 0).all()


def test_a_quantized_layer_computes_what_its_codes_say() -> None:
    x = RNG.normal(size=(4, 64)).astype(np.float32)
    codes, steps = quantize_weight(WEIGHT)
    weight = codes * steps
    hidden = rounded(x, 0.03) @ weight + BIAS
    wanted = x + rounded(hidden, 0.3) @ weight
    quantized = run(static_int8(residual_layer(), {"up": 0.03, "down": 0.3}), x)
    np.testing.assert_allclose(quantized, wanted, atol=0.35 * np.abs(weight).max())
    near = np.isclose(quantized, wanted, atol=1e-3, rtol=1e-4)
    assert near.mean() > 0.9  # elsewhere a value fell on the border of two codes


def test_only_the_products_that_are_named_are_quantized() -> None:
    x = RNG.normal(size=(4, 64)).astype(np.float32)
    codes, steps = quantize_weight(WEIGHT)
    wanted = x + (rounded(x, 0.03) @ (codes * steps) + BIAS) @ WEIGHT
    model = static_int8(residual_layer(), {"up": 0.03})
    np.testing.assert_allclose(run(model, x), wanted, atol=2e-3, rtol=1e-4)
    assert sum(node.op_type == "QuantizeLinear" for node in model.graph.node) == 1


def test_an_unknown_product_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'sideways'"):
        static_int8(residual_layer(), {"sideways": 0.1})


def test_there_is_nothing_that_tensorrt_refuses() -> None:
    for graph, model in wide_graphs().items():
        nodes = nodes_of(graph, layers_of(wide_graphs()))
        quantized = static_int8(model, dict.fromkeys(nodes, 0.05))
        constants = {t.name: t for t in quantized.graph.initializer}
        kinds = {t.data_type for t in constants.values()}
        assert kinds <= {TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT8}
        dequantized = [n for n in quantized.graph.node if n.op_type == "DequantizeLinear"]
        assert len(dequantized) == 2 * len(nodes)
        for node in dequantized:
            assert not numpy_helper.to_array(constants[node.input[2]]).any()


def test_onnxruntime_runs_every_quantized_product_in_integers(tmp_path: Path) -> None:
    graphs = wide_graphs()
    for graph in ("prefill", "step", "decode"):
        nodes = nodes_of(graph, layers_of(graphs))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(tmp_path / f"{graph}.onnx")
        model = static_int8(graphs[graph], dict.fromkeys(nodes, 0.05))
        onnxruntime.InferenceSession(model.SerializeToString(), options)
        kinds = [n.op_type for n in onnx.load(options.optimized_model_filepath).graph.node]
        assert "DequantizeLinear" not in kinds
        assert kinds.count("MatMulIntegerToFloat") == len(nodes)


def test_a_product_of_constants_is_no_layer() -> None:
    g = GraphBuilder("constants")
    y = g.linear("constant", g.constant(np.ones((4, 64))), WEIGHT)
    y = g.op("Add", g.linear("live", g.input("x", (4, 64)), WEIGHT), y)
    g.output(y, "y", (4, 64))
    assert large_products(g.build()) == ["live"]


def test_half_weights_halve_the_bytes_and_little_else() -> None:
    model, x = residual_layer(), RNG.normal(size=(4, 64)).astype(np.float32)
    half = half_weights(model)
    assert half.ByteSize() < 0.55 * model.ByteSize()
    narrow = WEIGHT.astype(np.float16).astype(np.float32)
    exact = x + (x @ narrow + BIAS) @ narrow
    np.testing.assert_allclose(run(half, x), exact, rtol=1e-4, atol=1e-3)
