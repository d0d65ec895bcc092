"""How each kind of ONNX node is lowered; what it means is in ONNX's list of operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.engines.native import products
from edge.engines.native.lowering import Lowering, Program
from edge.engines.native.memory import Array
from edge.engines.native.operations import Kind
from edge.engines.native.weights import Quantized
from edge.errors import EngineError

if TYPE_CHECKING:
    from onnx import NodeProto

Lower = Callable[[Lowering, "NodeProto"], None]


def lower(content: bytes, where: str) -> Program:
    """The program of a graph. Raises EngineError naming the node that there is no operation for."""
    try:
        import onnx
    except ImportError as error:
        message = f"the native engine reads graphs with onnx, which is not usable ({error})"
        raise EngineError(f"{message}; pip install onnx") from error
    try:
        graph = onnx.load_model_from_string(content).graph
    except Exception as error:  # protobuf's own, of several kinds
        raise EngineError(f"{where}: no ONNX graph: {error}") from error
    lowering = Lowering(graph, where)
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
    return lowering.finish()


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
    integers, steps, zeros = (lowering.constants.get(name) for name in node.input)
    if integers is None or steps is None or integers.dtype != np.int8 or integers.ndim != 2:
        return
    per_column = steps.shape == integers.shape[1:] and _attribute(node, "axis", 1) in (1, -1)
    if per_column and (zeros is None or not zeros.any()):
        lowering.quantized[node.output[0]] = Quantized(integers, steps)


def _attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    from onnx import helper

    for item in node.attribute:
        if item.name == name:
            return helper.get_attribute_value(item)
    return default


def _inputs(lowering: Lowering, node: NodeProto) -> list[Array]:
    return [lowering.value(name) for name in node.input if name]


def _elementwise(kind: Kind, dtype: Any = np.float32, operand: Any = np.float32) -> Lower:
    """Operands of one type, broadcast, to a result of another."""

    def lower_node(lowering: Lowering, node: NodeProto) -> None:
        inputs = _inputs(lowering, node)
        for item in inputs:
            if item.dtype != operand:
                raise lowering.refusal(node, f"an input is {item.dtype}, not {np.dtype(operand)}")
        shape = np.broadcast_shapes(*(item.shape for item in inputs))
        lowering.elementwise(kind, lowering.result(node.output[0], shape, dtype), *inputs)

    return lower_node


def _power(lowering: Lowering, node: NodeProto) -> None:
    base, exponent = _inputs(lowering, node)
    constant = lowering.constants.get(node.input[1])
    shape = np.broadcast_shapes(base.shape, exponent.shape)
    out = lowering.result(node.output[0], shape)
    if constant is not None and constant.size == 1 and constant.item() == 2.0:
        lowering.elementwise(Kind.MULTIPLY, out, base, base)
    else:
        lowering.elementwise(Kind.POWER, out, base, exponent)


def _where(lowering: Lowering, node: NodeProto) -> None:
    test, yes, no = _inputs(lowering, node)
    if yes.dtype != no.dtype or yes.dtype not in (np.float32, np.int64) or test.dtype != bool:
        raise lowering.refusal(node, f"chooses {yes.dtype} or {no.dtype} by {test.dtype}")
    shape = np.broadcast_shapes(test.shape, yes.shape, no.shape)
    kind = Kind.SELECT_INT if yes.dtype == np.int64 else Kind.SELECT
    lowering.elementwise(kind, lowering.result(node.output[0], shape, yes.dtype), test, yes, no)


def _cast(lowering: Lowering, node: NodeProto) -> None:
    """FP16 and FP32 are one here: all arithmetic is in FP32."""
    value = lowering.value(node.input[0])
    if value.dtype != np.float32 or _attribute(node, "to") not in _FLOATS:
        raise lowering.refusal(node, f"casts {value.dtype}")
    lowering.give(node.output[0], value)


def _reshape(lowering: Lowering, node: NodeProto) -> None:
    value = lowering.value(node.input[0])
    wanted = lowering.constants[node.input[1]]
    shape = [int(size) or value.shape[axis] for axis, size in enumerate(wanted)]
    lowering.give(node.output[0], lowering.contiguous(value).reshape(shape))


def _transpose(lowering: Lowering, node: NodeProto) -> None:
    value = lowering.value(node.input[0])
    lowering.give(node.output[0], value.transpose(_attribute(node, "perm")))


def _split(lowering: Lowering, node: NodeProto) -> None:
    value = lowering.value(node.input[0])
    axis = _attribute(node, "axis", 0)
    count = len(node.output)
    if len(node.input) > 1:
        sizes = lowering.constants[node.input[1]].tolist()
    else:
        sizes = [-(-value.shape[axis] // count)] * count
    parts = np.split(value, np.cumsum(sizes)[:-1], axis)
    for name, part in zip(node.output, parts, strict=True):
        lowering.give(name, part)


def _slice(lowering: Lowering, node: NodeProto) -> None:
    value = lowering.value(node.input[0])
    starts, ends, *rest = (lowering.constants[name].tolist() for name in node.input[1:])
    axes = rest[0] if rest else range(len(starts))
    steps = rest[1] if len(rest) > 1 else [1] * len(starts)
    cut = [slice(None)] * value.ndim
    for axis, *bounds in zip(axes, starts, ends, steps, strict=True):
        cut[axis] = slice(*bounds)
    lowering.give(node.output[0], value[tuple(cut)])


def _concat(lowering: Lowering, node: NodeProto) -> None:
    values = _inputs(lowering, node)
    axis = _attribute(node, "axis")
    shape = list(values[0].shape)
    shape[axis] = sum(value.shape[axis] for value in values)
    out = lowering.result(node.output[0], shape, values[0].dtype)
    ends = np.cumsum([value.shape[axis] for value in values])[:-1]
    for value, room in zip(values, np.split(out, ends, axis), strict=True):
        lowering.copy(value, room)


def _over_last_axis(lowering: Lowering, node: NodeProto, axes: Any) -> Array:
    value = lowering.value(node.input[0])
    if list(np.atleast_1d(axes) % value.ndim) != [value.ndim - 1]:
        raise lowering.refusal(node, f"over axes {axes}, not the last")
    return lowering.contiguous(value)


def _softmax(lowering: Lowering, node: NodeProto) -> None:
    value = _over_last_axis(lowering, node, _attribute(node, "axis", -1))
    lowering.rows(Kind.SOFTMAX, lowering.result(node.output[0], value.shape), value)


def _layer_norm(lowering: Lowering, node: NodeProto) -> None:
    value = _over_last_axis(lowering, node, _attribute(node, "axis", -1))
    gain = lowering.value(node.input[1])
    shift = lowering.value(node.input[2]) if len(node.input) > 2 else None
    if shift is None:
        shift = lowering.memory.constant(np.zeros_like(gain))
    if gain.shape != value.shape[-1:] or shift.shape != gain.shape:
        raise lowering.refusal(node, f"gain {gain.shape} and shift {shift.shape}")
    values = [_attribute(node, "epsilon", 1e-5)]
    out = lowering.result(node.output[0], value.shape)
    lowering.rows(Kind.LAYER_NORM, out, value, gain, shift, values=values)


def _mean(lowering: Lowering, node: NodeProto) -> None:
    axes = _attribute(node, "axes")
    if axes is None:
        axes = lowering.constants[node.input[1]]
    value = _over_last_axis(lowering, node, axes)
    kept = (1,) if _attribute(node, "keepdims", 1) else ()
    lowering.rows(Kind.MEAN, lowering.result(node.output[0], value.shape[:-1] + kept), value)


def _arg_max(lowering: Lowering, node: NodeProto) -> None:
    value = _over_last_axis(lowering, node, _attribute(node, "axis", 0))
    kept = (1,) if _attribute(node, "keepdims", 1) else ()
    out = lowering.result(node.output[0], value.shape[:-1] + kept, np.int64)
    lowering.rows(Kind.ARG_MAX, out, value)


def _gather(lowering: Lowering, node: NodeProto) -> None:
    table, indices = _inputs(lowering, node)
    if _attribute(node, "axis", 0) != 0 or table.dtype != np.float32:
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


def _levels(lowering: Lowering, node: NodeProto) -> list[float]:
    """Step, zero point, lowest and highest integer of a node that quantizes activations."""
    step, zero = (lowering.constants[name] for name in node.input[1:3])
    if step.size != 1:
        raise lowering.refusal(node, "activations are quantized per channel")
    limits = np.iinfo(zero.dtype)
    return [step.item(), zero.item(), limits.min, limits.max]


def _quantize(kind: Kind) -> Lower:
    def lower_node(lowering: Lowering, node: NodeProto) -> None:
        value = lowering.value(node.input[0])
        out = lowering.result(node.output[0], value.shape)
        lowering.elementwise(kind, out, value, values=_levels(lowering, node))

    return lower_node


_FLOATS = (1, 10)  # onnx.TensorProto.FLOAT and FLOAT16

_LOWER: dict[str, Lower] = {
    "Add": _elementwise(Kind.ADD),
    "ArgMax": _arg_max,
    "Cast": _cast,
    "Concat": _concat,
    "DequantizeLinear": _quantize(Kind.DEQUANTIZE),
    "Div": _elementwise(Kind.DIVIDE),
    "Equal": _elementwise(Kind.EQUAL, np.bool_, np.int64),
    "Erf": _elementwise(Kind.ERF),
    "Gather": _gather,
    "Greater": _elementwise(Kind.GREATER, np.bool_, np.int64),
    "LayerNormalization": _layer_norm,
    "Less": _elementwise(Kind.LESS, np.bool_, np.int64),
    "MatMul": products.matmul,
    "Max": _elementwise(Kind.MAXIMUM),
    "Min": _elementwise(Kind.MINIMUM),
    "Mul": _elementwise(Kind.MULTIPLY),
    "Pow": _power,
    "QuantizeLinear": _quantize(Kind.QUANTIZE),
    "ReduceMean": _mean,
    "Reshape": _reshape,
    "Sigmoid": _elementwise(Kind.SIGMOID),
    "Slice": _slice,
    "Softmax": _softmax,
    "Softplus": _elementwise(Kind.SOFTPLUS),
    "Split": _split,
    "Sqrt": _elementwise(Kind.SQUARE_ROOT),
    "Sub": _elementwise(Kind.SUBTRACT),
    "Tanh": _elementwise(Kind.TANH),
    "Transpose": _transpose,
    "Where": _where,
}
