from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from calibration.decoder_graph import build_decode
from calibration.float16 import EXACT_PRODUCTS, float16
from calibration.graph_builder import GraphBuilder
from calibration.parity import action_errors, reference
from calibration.precisions import PRECISIONS
from calibration.products import layers_of
from calibration.session import GraphModel
from tests.unit.tiny_models import tiny_tokenizer
from tests.unit.wide_models import examples, wide_checkpoint, wide_graphs

HALF = TensorProto.FLOAT16
WIDE_PRODUCTS = [
    ("prefill", "features"),
    ("decode", "memory.keys"),
    ("decode", "memory.values"),
    ("step", "head"),
    ("decode", "actions"),
]


def typed(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of every value."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*graph.value_info, *graph.input, *graph.output]
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    return kinds | {tensor.name: tensor.data_type for tensor in graph.initializer}


@pytest.mark.parametrize("graph", ["prefill", "step", "decode", "decode_full"])
def test_products_are_fp16_and_the_outside_is_fp32(graph: str) -> None:
    base, narrow = wide_graphs()[graph], float16(wide_graphs()[graph])
    kinds = typed(narrow)
    assert list(narrow.graph.input) == list(base.graph.input)
    assert list(narrow.graph.output) == list(base.graph.output)
    products = [node for node in narrow.graph.node if node.op_type == "MatMul"]
    assert len(products) > 3
    for node in products:
        exact = node.name in EXACT_PRODUCTS
        assert kinds[node.output[0]] == (TensorProto.FLOAT if exact else HALF), node.name


@pytest.mark.parametrize(("graph", "product"), WIDE_PRODUCTS)
def test_each_exact_product_exists_and_reads_fp32(graph: str, product: str) -> None:
    model = float16(wide_graphs()[graph])
    kinds = typed(model)
    (node,) = (node for node in model.graph.node if node.name == product)
    assert {kinds[name] for name in node.input} == {TensorProto.FLOAT}


@pytest.mark.parametrize("product", ["features", "forecast.enter", "forecast.leave", "actions"])
def test_a_tokenizer_that_sees_raw_features_reads_and_makes_them_in_fp32(product: str) -> None:
    tokenizer = tiny_tokenizer(observes=True)
    model = float16(build_decode(tokenizer, tokenizer.config.action_horizon))
    kinds = typed(model)
    (node,) = (node for node in model.graph.node if node.name == product)
    assert {kinds[name] for name in node.input} == {TensorProto.FLOAT}


def test_a_product_that_is_to_stay_exact_does() -> None:
    model = float16(wide_graphs()["step"], {"blocks.0.mlp.c_fc"})
    kinds = typed(model)
    outputs = {node.name: kinds[node.output[0]] for node in model.graph.node}
    assert outputs["blocks.0.mlp.c_fc"] == TensorProto.FLOAT
    assert outputs["head"] == HALF


def test_a_norm_squares_in_fp32() -> None:
    g = GraphBuilder("norm")
    x = g.op("Add", g.input("x", (1, 4)), g.constant(np.zeros(4)))
    square = g.op("Pow", g.op("Tanh", x), g.constant(np.array(2.0)))
    mean = g.op("ReduceMean", square, axes=[-1], keepdims=1)
    g.output(g.op("Div", x, g.op("Sqrt", mean)), "y", (1, 4))
    model = float16(g.build())
    kinds = typed(model)
    for node in model.graph.node:
        wide = node.op_type in ("Pow", "ReduceMean", "Sqrt", "Div")
        if node.op_type != "Cast":
            assert (kinds[node.output[0]] == TensorProto.FLOAT) == (wide or node.op_type == "Add")


def test_no_constant_overflows() -> None:
    for model in wide_graphs().values():
        for tensor in float16(model).graph.initializer:
            values = numpy_helper.to_array(tensor)
            assert np.isfinite(values).all()
            if tensor.data_type == HALF:
                assert np.isfinite(values + values).all()


def test_true_fp16_stays_near_and_is_not_fp32() -> None:
    truth = reference(wide_checkpoint(), examples())
    lowered = PRECISIONS["fp16"].lower(wide_graphs(), layers_of(wide_graphs()), {})
    rounded = action_errors(GraphModel(lowered, true_types=True), truth, 4)
    exact = action_errors(GraphModel(wide_graphs(), true_types=True), truth, 4)
    assert exact.max() < 1e-4
    assert 1e-5 < rounded.max() < 0.02


def test_nothing_lowered_leaves_every_large_product_in_fp32() -> None:
    lowered = PRECISIONS["fp16"].lower(wide_graphs(), [], {})
    for graph, model in lowered.items():
        kinds, large = typed(model), set(layers_of(wide_graphs()))
        for node in model.graph.node:
            if f"{graph}/{node.name}" in large:
                assert kinds[node.output[0]] == TensorProto.FLOAT
