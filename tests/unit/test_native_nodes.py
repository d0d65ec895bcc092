"""Every node that the native engine lowers, against ONNX's own reference implementation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from edge.engines.native.constants import Constants
from edge.engines.native.engine import bound
from edge.engines.native.library import load
from edge.engines.native.memory import Array, new_block
from edge.engines.native.nodes import lower
from edge.errors import EngineError
from tests.needs import require

OPSET = 17
RNG = np.random.default_rng(7)


def normal(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def model_of(
    kind: str, inputs: Mapping[str, Array], constants: Mapping[str, Array], **attributes: Any
) -> Any:
    """A graph of one node that reads all inputs, then all constants, in order."""
    onnx = require("onnx")
    helper = onnx.helper
    names = [*inputs, *constants]
    outputs = [f"y{i}" for i in range(attributes.pop("outputs", 1))]
    node = helper.make_node(kind, names, outputs, "the_node", **attributes)
    declared = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for name, x in inputs.items()
    ]
    made = [helper.make_empty_tensor_value_info(name) for name in outputs]
    fixed = [onnx.numpy_helper.from_array(x, name) for name, x in constants.items()]
    graph = helper.make_graph([node], "graph", declared, made, fixed)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def answers(model: Any, inputs: Mapping[str, Array], integer_products: bool = False) -> list[Array]:
    """What the native engine makes of a model."""
    program = lower(model.SerializeToString(), "the test", integer_products, Constants())
    results = {name: np.zeros(item.shape, item.dtype) for name, item in program.outputs.items()}
    bound("graph", program, new_block(program.scratch_size), dict(inputs), results, load())()
    return list(results.values())


def check(
    kind: str,
    inputs: Mapping[str, Array],
    constants: Mapping[str, Array] | None = None,
    tolerance: float = 2e-6,
    **attributes: Any,
) -> None:
    """The native answers are the reference's."""
    reference = require("onnx.reference")
    model = model_of(kind, inputs, constants or {}, **attributes)
    with np.errstate(all="ignore"):  # its sigmoid works out what it then does not take
        wanted = reference.ReferenceEvaluator(model).run(None, dict(inputs))
    for have, want in zip(answers(model, inputs), wanted, strict=True):
        assert have.dtype == want.dtype
        assert have.shape == want.shape
        np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance)


SHAPES = [
    ((3, 5), (3, 5)),
    ((2, 3, 16), (16,)),
    ((4, 1), (1, 7)),
    ((2, 1, 3, 1), (5, 1, 9)),
    ((), (6,)),
    ((1, 64), (1,)),
]


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div", "Max", "Min"])
@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_two_operands_are_broadcast(
    kind: str, left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    check(kind, {"a": normal(*left), "b": normal(*right)})
    check(kind, {"a": normal(*left)}, {"b": normal(*right)})


@pytest.mark.parametrize("exponent", [2.0, 3.0, 0.5])
def test_powers(exponent: float) -> None:
    check("Pow", {"a": abs(normal(3, 20))}, {"b": np.array([exponent], np.float32)})


@pytest.mark.parametrize("kind", ["Erf", "Tanh", "Softplus", "Sigmoid"])
def test_functions_of_one_operand_over_all_that_counts(kind: str) -> None:
    x = np.concatenate([np.linspace(-120, 120, 2001), np.linspace(-3, 3, 2001)])
    check(kind, {"x": x.astype(np.float32)}, tolerance=1e-6)


def test_square_roots() -> None:
    check("Sqrt", {"x": abs(normal(5, 33))})


@pytest.mark.parametrize("kind", ["Equal", "Greater", "Less"])
def test_integers_are_compared(kind: str) -> None:
    a, b = RNG.integers(0, 4, (5, 1)), RNG.integers(0, 4, (1, 6))
    check(kind, {"a": a, "b": b})
    check(kind, {"a": a}, {"b": b})


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_a_test_chooses_between_two(dtype: type) -> None:
    check(
        "Where",
        {
            "test": RNG.integers(0, 2, (4, 1)).astype(bool),
            "yes": np.arange(20).reshape(4, 5).astype(dtype),
            "no": np.array([-1], dtype),
        },
    )


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 18])
@pytest.mark.parametrize("columns", [16, 63, 64, 65, 200])
@pytest.mark.parametrize("exactly_half", [True, False])
def test_products_with_constant_weights(rows: int, columns: int, exactly_half: bool) -> None:
    weights = normal(19, columns)
    if exactly_half:
        weights = weights.astype(np.float16).astype(np.float32)
    check("MatMul", {"x": normal(rows, 19)}, {"w": weights}, tolerance=2e-5)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((4, 5), (5, 3)),
        ((2, 3, 4, 32), (2, 3, 32, 9)),
        ((3, 4, 8), (8, 70)),
        ((1, 1, 128), (128, 40)),
        ((9, 19), (8, 19, 64)),
        ((32, 2, 32), (32, 32, 128)),
        ((2, 1, 4, 6), (5, 6, 3)),
    ],
)
def test_products_of_any_shapes(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = normal(*left), normal(*right)
    check("MatMul", {"a": a, "b": b}, tolerance=2e-5)
    check("MatMul", {"a": a}, {"b": b}, tolerance=2e-5)


@pytest.mark.parametrize("shape", [(3, 8), (2, 4, 17), (1, 1000)])
def test_runs_along_the_last_axis(shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    gain = {"gain": normal(shape[-1]), "shift": normal(shape[-1])}
    check("Softmax", {"x": 20 * x}, axis=-1)
    check("LayerNormalization", {"x": x}, gain, axis=-1, epsilon=1e-5, tolerance=1e-5)
    check("ReduceMean", {"x": x}, axes=[-1], keepdims=1)
    check("ReduceMean", {"x": x}, axes=[len(shape) - 1], keepdims=0)
    check("ArgMax", {"x": x}, axis=-1, keepdims=1)
    check("ArgMax", {"x": np.zeros_like(x)}, axis=-1, keepdims=0)


def test_what_moves_axes_about() -> None:
    x = normal(4, 6, 8)
    check("Transpose", {"x": x}, perm=[2, 0, 1])
    check("Reshape", {"x": x}, {"shape": np.array([0, -1])})
    check("Split", {"x": x}, outputs=3, axis=1)
    check("Split", {"x": x}, {"sizes": np.array([1, 7])}, outputs=2, axis=-1)
    bounds = {"start": [1], "end": [4], "axes": [1], "steps": [2]}
    check("Slice", {"x": x}, {name: np.array(value) for name, value in bounds.items()})
    check("Concat", {"x": x, "y": normal(4, 1, 8)}, axis=1)
    check("Concat", {"i": np.arange(3), "j": np.arange(4)}, axis=0)


def test_rows_of_a_table() -> None:
    check("Gather", {"table": normal(10, 7), "rows": np.array([[3, -1], [0, 9]])}, axis=0)
    check("Gather", {}, {"table": normal(10, 7), "rows": np.array([[3, 0], [9, 9]])})


def test_activations_are_quantized_as_the_graph_says() -> None:
    x = np.concatenate([normal(3, 40), 100 * normal(3, 40)], 1)
    levels = {"step": np.array(0.031, np.float32), "zero": np.array(3, np.int8)}
    onnx = require("onnx")
    helper = onnx.helper
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *levels], ["q"]),
        helper.make_node("DequantizeLinear", ["q", *levels], ["y"]),
    ]
    info = [helper.make_tensor_value_info(name, 1, x.shape) for name in "xy"]
    fixed = [onnx.numpy_helper.from_array(value, name) for name, value in levels.items()]
    graph = helper.make_graph(nodes, "graph", info[:1], info[1:], fixed)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    wanted = require("onnx.reference").ReferenceEvaluator(model).run(None, {"x": x})
    np.testing.assert_allclose(answers(model, {"x": x})[0], wanted[0], atol=1e-6)


@pytest.mark.parametrize("integer_products", [True, False])
@pytest.mark.parametrize("zero", [np.int8(0), np.int8(-7), np.uint8(131)])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 6, 9])
@pytest.mark.parametrize(("depth", "columns"), [(64, 16), (128, 200), (66, 64), (512, 65)])
def test_quantized_activations_meet_quantized_weights(
    integer_products: bool, zero: np.generic, rows: int, depth: int, columns: int
) -> None:
    """Also where the activations are read as numbers elsewhere."""
    onnx = require("onnx")
    helper = onnx.helper
    constants = {
        "step": np.array(0.021, np.float32),
        "zero": np.asarray(zero),
        "w": RNG.integers(-127, 128, (depth, columns), np.int8),
        "steps": RNG.uniform(0.001, 0.01, columns).astype(np.float32),
        "none": np.zeros(columns, np.int8),
        "bias": normal(columns),
    }
    levels = ["step", "zero"]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *levels], ["q"]),
        helper.make_node("DequantizeLinear", ["q", *levels], ["xq"]),
        helper.make_node("DequantizeLinear", ["w", "steps", "none"], ["wq"], axis=1),
        helper.make_node("MatMul", ["xq", "wq"], ["product"]),
        helper.make_node("Sub", ["bias", "product"], ["y"]),
        helper.make_node("Add", ["xq", "xq"], ["twice"]),
    ]
    info = [
        helper.make_tensor_value_info("x", 1, (rows, depth)),
        helper.make_tensor_value_info("y", 1, (rows, columns)),
        helper.make_tensor_value_info("twice", 1, (rows, depth)),
    ]
    fixed = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", info[:1], info[1:], fixed)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    x = normal(rows, depth)
    wanted = require("onnx.reference").ReferenceEvaluator(model).run(None, {"x": x})
    for have, want in zip(answers(model, {"x": x}, integer_products), wanted, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", ["Erf", "Tanh", "Softplus", "Sigmoid", "Sqrt"])
def test_what_is_not_a_number_stays_none(kind: str) -> None:
    x = normal(40)
    x[[3, 38]] = np.nan
    model = model_of(kind, {"x": abs(x)}, {})
    with np.errstate(invalid="ignore"):
        assert np.isnan(answers(model, {"x": x})[0][[3, 38]]).all()


@pytest.mark.parametrize("kind", ["Add", "Mul", "Max", "Min"])
def test_what_is_not_a_number_stays_none_with_another_operand(kind: str) -> None:
    x = normal(40)
    x[5] = np.nan
    model = model_of(kind, {"x": x}, {"b": normal(1)})
    assert np.isnan(answers(model, {"x": x})[0][5])


@pytest.mark.parametrize("kind", ["Softmax", "MatMul", "LayerNormalization"])
def test_what_is_not_a_number_reaches_the_whole_row_and_no_other(kind: str) -> None:
    x = normal(3, 32)
    x[1, 30] = np.nan
    more = {
        "Softmax": {},
        "MatMul": {"w": normal(32, 64)},
        "LayerNormalization": {"gain": normal(32), "shift": normal(32)},
    }[kind]
    (y,) = answers(model_of(kind, {"x": x}, more), {"x": x})
    assert np.isnan(y[1]).all()
    assert np.isfinite(y[[0, 2]]).all()


def test_a_row_that_the_table_does_not_have_is_an_error() -> None:
    table, rows = normal(10, 7), np.array([3, 10])
    model = model_of("Gather", {"table": table, "rows": rows}, {}, axis=0)
    with pytest.raises(EngineError, match="graph graph: operation 0"):
        answers(model, {"table": table, "rows": rows})


def test_a_node_that_there_is_no_operation_for_is_named() -> None:
    model = model_of("Cos", {"x": normal(3)}, {})
    with pytest.raises(EngineError, match=r"the test: node the_node: the native engine has no Cos"):
        answers(model, {"x": normal(3)})


def test_a_softmax_over_another_axis_is_refused() -> None:
    model = model_of("Softmax", {"x": normal(3, 4)}, {}, axis=0)
    with pytest.raises(EngineError, match="node the_node: over axes 0, not the last"):
        answers(model, {"x": normal(3, 4)})


@pytest.mark.parametrize(
    ("kind", "inputs", "attributes", "why"),
    [
        ("Max", {"a": normal(3), "b": normal(3), "c": normal(3)}, {}, "has 3 inputs, not 2"),
        ("Max", {"a": normal(3)}, {}, "has 1 inputs, not 2"),
        ("Pow", {"a": normal(3), "b": np.array([3])}, {}, "reads int64, not float32"),
        ("MatMul", {"a": np.eye(3, dtype=int), "b": np.eye(3, dtype=int)}, {}, "reads int64"),
        ("ArgMax", {"a": np.arange(4)}, {"axis": 0}, "reads int64"),
        ("ArgMax", {"a": normal(4)}, {"axis": 0, "select_last_index": 1}, "selects the last"),
        ("Add", {"a": np.arange(4), "b": np.arange(4)}, {}, "an input is int64"),
    ],
)
def test_what_would_be_computed_wrongly_is_refused(
    kind: str, inputs: dict[str, Array], attributes: dict[str, Any], why: str
) -> None:
    model = model_of(kind, inputs, {}, **attributes)
    with pytest.raises(EngineError, match=f"node the_node: {why}"):
        answers(model, inputs)


@pytest.mark.parametrize("dtype", [np.float16, np.int32, np.bool_])
def test_values_of_other_types_are_refused(dtype: type) -> None:
    x = {"x": np.zeros((2, 4), dtype)}
    with pytest.raises(EngineError, match=f"the test: the native engine .* no {np.dtype(dtype)}"):
        answers(model_of("Transpose", x, {}, perm=[1, 0]), x)


def test_what_is_not_a_number_beside_a_constant_stays_none() -> None:
    x = np.full(40, np.nan, np.float32)
    for kind in ("Max", "Min"):
        names = {"b": np.zeros(1, np.float32)}
        model = model_of(kind, {"x": x}, names)
        model.graph.node[0].input[:] = ["b", "x"]
        assert np.isnan(answers(model, {"x": x})[0]).all()


def test_bytes_that_are_no_graph_are_refused() -> None:
    with pytest.raises(EngineError, match="the test: no ONNX graph"):
        lower(b"\xffnonsense", "the test", False, Constants())
