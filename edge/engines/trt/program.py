"""A plan that is loaded: it says what it takes and gives, and runs bound to device addresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from edge.engines.tensors import Tensor
from edge.engines.trt.backend import Backend
from edge.errors import EngineError


class Program(Protocol):
    """One graph, ready to run on a device."""

    @property
    def inputs(self) -> Mapping[str, Tensor]:
        """What it takes, all in device memory."""

    @property
    def outputs(self) -> Mapping[str, Tensor]:
        """What it gives, all in device memory."""

    def bind(self, addresses: Mapping[str, int]) -> Callable[[int], None]:
        """What puts a run on a stream, given its handle, with every tensor at its address.

        Addresses are multiples of 256.
        """


class TensorRTProgram:
    """``Program`` from a plan."""

    def __init__(self, backend: Backend, plan: bytes, graph: str) -> None:
        """Raises EngineError where the library does not load the plan on this GPU."""
        module = backend.module
        self._graph, self._backend = graph, backend
        before = list(backend.errors)
        self._runtime = module.Runtime(backend.logger)
        if list(backend.errors) != before:  # it is there all the same, and crashes as it loads
            raise EngineError(f"{backend} does not start: {backend.last_error()}")
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(f"{backend} does not load graph {graph}: {backend.last_error()}")
        self._inputs: dict[str, Tensor] = {}
        self._outputs: dict[str, Tensor] = {}
        for name in self._names():
            is_input = self._engine.get_tensor_mode(name) == module.TensorIOMode.INPUT
            (self._inputs if is_input else self._outputs)[name] = self._tensor(name)

    @property
    def inputs(self) -> Mapping[str, Tensor]:
        """See ``Program.inputs``."""
        return self._inputs

    @property
    def outputs(self) -> Mapping[str, Tensor]:
        """See ``Program.outputs``."""
        return self._outputs

    def bind(self, addresses: Mapping[str, int]) -> Callable[[int], None]:
        """See ``Program.bind``. A context each: a CUDA graph keeps hold of its context's memory."""
        context = self._engine.create_execution_context()
        if context is None:
            raise EngineError(f"graph {self._graph}: {self._backend.last_error()}")
        for name, tensor in self._inputs.items():
            self._accepted(context.set_input_shape(name, tensor.shape), name)
        for name in (*self._inputs, *self._outputs):
            self._accepted(context.set_tensor_address(name, addresses[name]), name)

        def run(stream: int) -> None:
            if not context.execute_async_v3(stream):
                raise EngineError(f"graph {self._graph}: {self._backend.last_error()}")

        return run

    def _names(self) -> list[str]:
        engine = self._engine
        return [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]

    def _tensor(self, name: str) -> Tensor:
        module, engine = self._backend.module, self._engine
        if engine.get_tensor_location(name) != module.TensorLocation.DEVICE:
            raise EngineError(f"graph {self._graph}: tensor {name} has to be in host memory")
        return Tensor(tuple(engine.get_tensor_shape(name)), _numpy_name(module, engine, name))

    def _accepted(self, accepted: Any, name: str) -> None:
        if not accepted:
            reason = self._backend.last_error()
            raise EngineError(f"graph {self._graph}: tensor {name} cannot be bound: {reason}")


def _numpy_name(module: Any, engine: Any, name: str) -> str:
    """NumPy's name of a tensor's type; the library's own where NumPy has none."""
    kind = engine.get_tensor_dtype(name)
    try:
        return str(module.nptype(kind).__name__)
    except TypeError:
        return str(kind)
