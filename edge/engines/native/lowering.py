"""From an ONNX graph of static shapes to a program: what is constant is worked out here, what only
moves axes about becomes another view of the same memory, and the rest becomes operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edge.engines.native.constants import Constants
from edge.engines.native.memory import FIRST_OUTER, Array, Memory, Place, owner
from edge.engines.native.operations import MAX_AXES, NO_OPERAND, OPERATION, Kind
from edge.engines.native.weights import Levels, Quantized
from edge.engines.tensors import Tensor
from edge.errors import EngineError

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

_COPIES = {np.dtype(np.float32): Kind.COPY, np.dtype(np.int64): Kind.COPY_INT}
_OPERANDS = ("out", "a", "b", "c")


class Step(NamedTuple):
    """One operation and the arrays it works on: out, a, b, c, as far as it has them."""

    fields: dict[str, Any]
    arrays: tuple[Array | None, ...]

    @property
    def values(self) -> tuple[Array, ...]:
        """The arrays that are there."""
        return tuple(array for array in self.arrays if array is not None)


class Program(NamedTuple):
    """Operations, and the memory they need; inputs, then outputs, in the order of their bases."""

    operations: Array
    constants: Constants
    scratch_size: int
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class Lowering:
    """The values of one graph while its nodes are taken in turn (``nodes``)."""

    def __init__(self, graph: GraphProto, where: str, integer_products: bool) -> None:
        from onnx import numpy_helper

        self.where = where
        self.integer_products = integer_products
        self.memory = Memory()
        self.constants: dict[str, Array] = {
            item.name: numpy_helper.to_array(item) for item in graph.initializer
        }
        self.quantized: dict[str, Quantized] = {}
        self.levels: dict[str, Levels] = {}
        self.done: set[str] = set()  # nodes that an earlier one took over
        self._values: dict[str, Array] = {}
        self._steps: list[Step] = []
        self._graph = graph
        self._uses = Counter(name for node in graph.node for name in node.input)
        self._uses.update(item.name for item in graph.output)
        for name, tensor in declared(graph.input, where).items():
            if tensor.dtype not in ("float32", "int64", "bool"):
                raise EngineError(f"{where}: the native engine reads no {tensor.dtype} ({name})")
            self._values[name] = self.memory.input(name, tensor.shape, tensor.dtype)

    def refusal(self, node: NodeProto, why: str) -> EngineError:
        """What says that this node cannot be run."""
        return EngineError(f"{self.where}: node {node.name or node.op_type}: {why}")

    def value(self, name: str) -> Array:
        """The array of a name; what may never be needed in memory is placed there when it is.

        That is constants, and activations that integer products read as levels.
        """
        if name in self._values:
            return self._values[name]
        if name in self.levels:
            counts, *values = self.levels[name]
            self.elementwise(
                Kind.DEQUANTIZE, self.result(name, counts.shape), counts, values=values
            )
        else:
            constant = self.constants[name]
            if constant.dtype == np.float16:
                constant = constant.astype(np.float32)
            self._values[name] = self.memory.constant(constant)
        return self._values[name]

    def inputs(self, node: NodeProto) -> list[Array]:
        """The arrays that a node reads."""
        return [self.value(name) for name in node.input if name]

    def floats(self, node: NodeProto, count: int = 1) -> list[Array]:
        """The first arrays that a node reads, which have to be numbers of FP32."""
        arrays = [self.value(name) for name in node.input[:count]]
        for array in arrays:
            if array.dtype != np.float32:
                raise self.refusal(node, f"reads {array.dtype}, not float32")
        return arrays

    def give(self, name: str, value: Array) -> None:
        """Name a view."""
        self._values[name] = value

    def result(self, name: str, shape: Sequence[int], dtype: Any = np.float32) -> Array:
        """Room for what a node makes."""
        self._values[name] = self.memory.scratch(tuple(shape), dtype)
        return self._values[name]

    def sole_user(self, name: str) -> NodeProto | None:
        """The node that reads a value, if it is the only one."""
        if self._uses[name] != 1:
            return None
        return next((node for node in self._graph.node if name in node.input), None)

    def is_known(self, name: str) -> bool:
        """Whether a value is there before the nodes that are still to come."""
        return name in self._values or name in self.levels or name in self.constants

    def contiguous(self, value: Array) -> Array:
        """The value with its elements one after the other, copied if they are not."""
        if value.flags.c_contiguous:
            return value
        copied = self.memory.scratch(value.shape, value.dtype)
        self.copy(value, copied)
        return copied

    def copy(self, value: Array, to: Array) -> None:
        """Elements of one view to another of the same shape."""
        if value.dtype not in _COPIES:
            raise EngineError(f"{self.where}: the native engine moves no {value.dtype}")
        self.elementwise(_COPIES[value.dtype], to, value)

    def elementwise(
        self, kind: Kind, out: Array, *inputs: Array, values: Sequence[float] = ()
    ) -> None:
        """One operation over all elements of ``out``, to which the inputs are broadcast."""
        arrays = [out, *(np.broadcast_to(item, out.shape) for item in inputs)]
        dims, strides = _joined(out.shape, [_steps_of(array) for array in arrays])
        if len(dims) > MAX_AXES:
            raise EngineError(f"{self.where}: {kind.name} over {len(dims)} axes, not {MAX_AXES}")
        self.emit(kind, arrays, strides, axes=len(dims), dims=dims, values=values)

    def emit(
        self, kind: Kind, arrays: Sequence[Array | None], strides: Sequence[Any], **fields: Any
    ) -> None:
        """Add an operation; ``strides`` in elements, for each array, left-aligned."""
        fields |= {"kind": kind, "strides": list(strides)}
        self._steps.append(Step(fields, tuple(arrays)))

    def rows(self, kind: Kind, out: Array, a: Array, *more: Array, values: Any = ()) -> None:
        """One operation over each run along the last axis of a contiguous array."""
        columns = a.shape[-1]
        self.emit(kind, [out, a, *more], [], rows=a.size // columns, columns=columns, values=values)

    def finish(self, constants: Constants) -> Program:
        """Lay out memory, what is constant among ``constants``; write the operations down."""
        inputs = declared(self._graph.input, self.where)
        outputs = declared(self._graph.output, self.where)
        bases = {name: FIRST_OUTER + i for i, name in enumerate([*inputs, *outputs])}
        for name, tensor in outputs.items():
            value = self.value(name)
            if not self.memory.make_output(name, value):
                room = self.memory.scratch(tensor.shape, tensor.dtype)
                self.memory.make_output(name, room)
                self.copy(value.reshape(tensor.shape), room)
        uses = [step.values for step in self._steps]
        places, scratch_size = self.memory.places(uses, bases, constants.place)
        operations = np.zeros(len(self._steps), OPERATION)
        for record, step in zip(operations, self._steps, strict=True):
            _write(record, step, places)
        return Program(operations, constants, scratch_size, inputs, outputs)


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """An attribute of a node, or ``default`` where it is left out."""
    from onnx import helper

    for item in node.attribute:
        if item.name == name:
            return helper.get_attribute_value(item)
    return default


def declared(items: Sequence[Any], where: str) -> dict[str, Tensor]:
    """Inputs or outputs of a graph. Raises EngineError where a shape is not fixed."""
    from onnx import helper

    tensors = {}
    for item in items:
        kind = item.type.tensor_type
        shape = tuple(axis.dim_value for axis in kind.shape.dim)
        if not all(shape):
            raise EngineError(f"{where}: {item.name} has no fixed shape")
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type).name
        tensors[item.name] = Tensor(shape, dtype)
    return tensors


def _steps_of(array: Array) -> list[int]:
    """Strides in elements."""
    return [stride // array.itemsize for stride in array.strides]


def _joined(
    shape: Sequence[int], strides: Sequence[Sequence[int]]
) -> tuple[list[int], list[list[int]]]:
    """The same walk over fewer axes: neighbours that every operand goes through as one are one."""
    axes: list[tuple[int, list[int]]] = []
    for size, *steps in zip(shape, *strides, strict=True):
        if size == 1:
            continue
        if axes and axes[-1][1] == [step * size for step in steps]:
            axes[-1] = axes[-1][0] * size, steps
        else:
            axes.append((size, steps))
    return [size for size, _ in axes], [
        [steps[i] for _, steps in axes] for i in range(len(strides))
    ]


def _write(record: Any, step: Step, places: Mapping[int, Place]) -> None:
    fields = dict(step.fields)
    strides = fields.pop("strides")
    for name in ("dims", "values"):
        given = fields.pop(name, ())
        record[name][: len(given)] = given
    for name, value in fields.items():
        record[name] = value
    for index, name in enumerate(_OPERANDS):
        array = step.arrays[index] if index < len(step.arrays) else None
        operand = record[name]
        operand["base"] = NO_OPERAND
        if array is None:
            continue
        own = owner(array)
        place = places[id(own)]
        operand["base"] = place.base
        operand["offset"] = place.offset + array.ctypes.data - own.ctypes.data
        if index < len(strides):
            operand["strides"][: len(strides[index])] = strides[index]
