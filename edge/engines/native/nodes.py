"""How each kind of ONNX node is lowered; what it means is in ONNX's list of operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.engines.native import moves, products
from edge.engines.native.constants import Constants
from edge.engines.native.lowering import Lowering, Program, attribute
from edge.engines.native.memory import Array
from edge.engines.native.operations import Kind
from edge.engines.native.weights import Levels, Quantized
from edge.errors import EngineError

if TYPE_CHECKING:
    from onnx import NodeProto

Lower = Callable[[Lowering, "NodeProto"], None]


def lower(content: bytes, where: str, integer_products: bool, constants: Constants) -> Program:
    """The program of a graph. Raises EngineError naming the node that there is no operation for.

    ``integer_products``: whether these are the fastest for INT8 weights and activations. What
    the program only reads is placed in ``constants``, with what is there already.
    """
    try:
        import onnx
    except ImportError as error:
        message = f"the native engine reads graphs with onnx, which is not usable ({error})"
        raise EngineError(f"{message}; pip install onnx") from error
    try:
        graph = onnx.load_model_from_string(content).graph
    except Exception as error:  # protobuf's own, of several kinds
        raise EngineError(f"{where}: no ONNX graph: {error}") from error
    lowering = Lowering(graph, where, integer_products)
    for node in graph.node:
        if node.output[0] in lowering.done:
            continue
        if node.op_type == "DequantizeLinear":
            _remember_integers(lowering, node)
        if all(name in lowering.constants for name in node.input if name):
            _work_out(lowering, node)
            continue
        if node.op_type not in _LOWER:
            raise lowering.refusal(node, f"the native engine has no {node.op_type}")
        try:
            _LOWER[node.op_type](lowering, node)
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise lowering.refusal(node, f"does not fit its inputs: {error}") from error
        if len(node.output) > 1 and not all(map(lowering.is_known, node.output)):
            raise lowering.refusal(node, f"has {len(node.output)} outputs")
    return lowering.finish(constants)


def _work_out(lowering: Lowering, node: NodeProto) -> None:
    """A node of constants is a constant."""
    from onnx.reference import ReferenceEvaluator

    inputs = {name: lowering.constants[name] for name in node.input if name}
    with np.errstate(all="ignore"):
        results = ReferenceEvaluator(node).run(None, inputs)
    for name, value in zip(node.output, results, strict=True):
        lowering.constants[name] = np.asarray(value)


def _remember_integers(lowering: Lowering, node: NodeProto) -> None:
    """INT8 weights with a step per column stay INT8 for the product that reads them."""
    integers, steps, zeros, *_ = [*map(lowering.constants.get, node.input), None]
    if integers is None or steps is None or integers.dtype != np.int8 or integers.ndim != 2:
        return
    per_column = steps.shape == integers.shape[1:] and attribute(node, "axis", 1) in (1, -1)
    if per_column and (zeros is None or not zeros.any()):
        lowering.quantized[node.output[0]] = Quantized(integers, steps)


def _elementwise(
    kind: Kind, operands: int = 2, dtype: Any = np.float32, operand: Any = np.float32
) -> Lower:
    """Operands of one type, broadcast, to a result of another."""

    def lower_node(lowering: Lowering, node: NodeProto) -> None:
        inputs = lowering.inputs(node)
        if len(inputs) != operands:
            raise lowering.refusal(node, f"has {len(inputs)} inputs, not {operands}")
        for item in inputs:
            if item.dtype != operand:
                raise lowering.refusal(node, f"an input is {item.dtype}, not {np.dtype(operand)}")
        shape = np.broadcast_shapes(*(item.shape for item in inputs))
        lowering.elementwise(kind, lowering.result(node.output[0], shape, dtype), *inputs)

    return lower_node


def _power(lowering: Lowering, node: NodeProto) -> None:
    base, exponent = lowering.floats(node, 2)
    constant = lowering.constants.get(node.input[1])
    shape = np.broadcast_shapes(base.shape, exponent.shape)
    out = lowering.result(node.output[0], shape)
    if constant is not None and constant.size == 1 and constant.item() == 2.0:
        lowering.elementwise(Kind.MULTIPLY, out, base, base)
    else:
        lowering.elementwise(Kind.POWER, out, base, exponent)


def _where(lowering: Lowering, node: NodeProto) -> None:
    test, yes, no = lowering.inputs(node)
    if yes.dtype != no.dtype or yes.dtype not in (np.float32, np.int64) or test.dtype != bool:
        raise lowering.refusal(node, f"chooses {yes.dtype} or {no.dtype} by {test.dtype}")
    shape = np.broadcast_shapes(test.shape, yes.shape, no.shape)
    kind = Kind.SELECT_INT if yes.dtype == np.int64 else Kind.SELECT
    lowering.elementwise(kind, lowering.result(node.output[0], shape, yes.dtype), test, yes, no)


def _over_last_axis(lowering: Lowering, node: NodeProto, axes: Any) -> Array:
    (value,) = lowering.floats(node)
    if list(np.atleast_1d(axes) % value.ndim) != [value.ndim - 1]:
        raise lowering.refusal(node, f"over axes {axes}, not the last")
    return lowering.contiguous(value)


def _softmax(lowering: Lowering, node: NodeProto) -> None:
    value = _over_last_axis(lowering, node, attribute(node, "axis", -1))
    lowering.rows(Kind.SOFTMAX, lowering.result(node.output[0], value.shape), value)


def _layer_norm(lowering: Lowering, node: NodeProto) -> None:
    value = _over_last_axis(lowering, node, attribute(node, "axis", -1))
    gain = lowering.value(node.input[1])
    shift = lowering.value(node.input[2]) if len(node.input) > 2 else None
    if shift is None:
        shift = lowering.memory.constant(np.zeros_like(gain))
    if gain.shape != value.shape[-1:] or shift.shape != gain.shape:
        raise lowering.refusal(node, f"gain {gain.shape} and shift {shift.shape}")
    values = [attribute(node, "epsilon", 1e-5)]
    out = lowering.result(node.output[0], value.shape)
    lowering.rows(Kind.LAYER_NORM, out, value, gain, shift, values=values)


def _mean(lowering: Lowering, node: NodeProto) -> None:
    axes = attribute(node, "axes")
    if axes is None:
        axes = lowering.constants[node.input[1]]
    value = _over_last_axis(lowering, node, axes)
    kept = (1,) if attribute(node, "keepdims", 1) else ()
    lowering.rows(Kind.MEAN, lowering.result(node.output[0], value.shape[:-1] + kept), value)


def _arg_max(lowering: Lowering, node: NodeProto) -> None:
    value = _over_last_axis(lowering, node, attribute(node, "axis", 0))
    if attribute(node, "select_last_index", 0):
        raise lowering.refusal(node, "selects the last of the largest, not the first")
    kept = (1,) if attribute(node, "keepdims", 1) else ()
    out = lowering.result(node.output[0], value.shape[:-1] + kept, np.int64)
    lowering.rows(Kind.ARG_MAX, out, value)


def _gather(lowering: Lowering, node: NodeProto) -> None:
    table, indices = lowering.inputs(node)
    if attribute(node, "axis", 0) != 0 or (table.dtype, indices.dtype) != _TABLE:
        raise lowering.refusal(node, "gathers something else than rows of numbers")
    table, indices = lowering.contiguous(table), lowering.contiguous(indices)
    out = lowering.result(node.output[0], indices.shape + table.shape[1:])
    columns = table.size // len(table)
    lowering.emit(
        Kind.GATHER,
        [out, table, indices],
        [],
        rows=indices.size,
        columns=columns,
        depth=len(table),
    )


def _scale(lowering: Lowering, node: NodeProto) -> tuple[float, float, np.iinfo[Any]]:
    """Step, zero point and range of a node that quantizes activations or takes it back."""
    step, zero = (lowering.constants[name] for name in node.input[1:3])
    limits = np.iinfo(zero.dtype)
    if step.size != 1:
        raise lowering.refusal(node, "activations are quantized per channel")
    if limits.bits != 8:
        raise lowering.refusal(node, f"activations are quantized to {zero.dtype}")
    return step.item(), zero.item(), limits


def _quantize(lowering: Lowering, node: NodeProto) -> None:
    (value,) = lowering.floats(node)
    step, zero, limits = _scale(lowering, node)
    out = lowering.result(node.output[0], value.shape, np.uint8)
    values = [step, zero, limits.min, limits.max]
    lowering.elementwise(Kind.QUANTIZE, out, value, values=values)


def _dequantize(lowering: Lowering, node: NodeProto) -> None:
    """Numbers again only where something else than a product of integers reads them."""
    step, zero, limits = _scale(lowering, node)
    counts = lowering.contiguous(lowering.value(node.input[0]))
    lowering.levels[node.output[0]] = Levels(counts, step, zero, limits.min)


_TABLE = (np.dtype(np.float32), np.dtype(np.int64))  # what rows hold, and what chooses them

_LOWER: dict[str, Lower] = {
    "Add": _elementwise(Kind.ADD),
    "ArgMax": _arg_max,
    "Cast": moves.cast,
    "Concat": moves.concat,
    "DequantizeLinear": _dequantize,
    "Div": _elementwise(Kind.DIVIDE),
    "Equal": _elementwise(Kind.EQUAL, 2, np.bool_, np.int64),
    "Erf": _elementwise(Kind.ERF, 1),
    "Gather": _gather,
    "Greater": _elementwise(Kind.GREATER, 2, np.bool_, np.int64),
    "LayerNormalization": _layer_norm,
    "Less": _elementwise(Kind.LESS, 2, np.bool_, np.int64),
    "MatMul": products.matmul,
    "Max": _elementwise(Kind.MAXIMUM),
    "Min": _elementwise(Kind.MINIMUM),
    "Mul": _elementwise(Kind.MULTIPLY),
    "Pow": _power,
    "QuantizeLinear": _quantize,
    "ReduceMean": _mean,
    "Reshape": moves.reshape,
    "Sigmoid": _elementwise(Kind.SIGMOID, 1),
    "Slice": moves.cut,
    "Softmax": _softmax,
    "Softplus": _elementwise(Kind.SOFTPLUS, 1),
    "Split": moves.split,
    "Sqrt": _elementwise(Kind.SQUARE_ROOT, 1),
    "Sub": _elementwise(Kind.SUBTRACT),
    "Tanh": _elementwise(Kind.TANH, 1),
    "Transpose": moves.transpose,
    "Where": _where,
}
