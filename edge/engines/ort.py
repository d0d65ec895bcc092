"""onnxruntime: one thread of any CPU, or an NVIDIA GPU with the key-value cache kept on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import onnxruntime

from edge.bundle import GRAPHS, Bundle
from edge.engines.host import Array, Arrays, HostEngine, described
from edge.engines.tensors import Tensor, check_tensors
from edge.errors import EngineError

CACHES = ("cross_kv", "self_kv", "self_kv_next")
"""What a GPU keeps between calls; all else is a few bytes that the host reads or writes."""


class Placement(NamedTuple):
    """Where graphs run: the execution provider, its memory, and which tensors stay in there."""

    provider: str
    memory: str
    resident: tuple[str, ...]


class GraphFile(NamedTuple):
    """A graph's bytes, and where they are from, for messages."""

    where: str
    content: bytes


PLACEMENTS = {
    "cpu": Placement("CPUExecutionProvider", "cpu", ()),
    "cuda": Placement("CUDAExecutionProvider", "cuda", CACHES),
}

_NUMPY_NAMES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(float16)": "float16"}


class OrtGraphs:
    """Graphs of one bundle as onnxruntime runs them on ``device``, one of PLACEMENTS."""

    def __init__(
        self, graphs: Mapping[str, GraphFile], threads: int = 1, device: str = "cpu"
    ) -> None:
        """Raises EngineError where a graph does not load, or where the device is not there:
        onnxruntime alone would fall back to the CPU without a word."""
        self._placement = PLACEMENTS[device]
        provider = self._placement.provider
        require_provider(provider)
        self._values: dict[int, Any] = {}
        self._sessions = {
            name: _session(graph, threads, provider) for name, graph in graphs.items()
        }

    def bind(self, graph: str, inputs: Arrays, outputs: Arrays) -> Callable[[], None]:
        """See ``HostDecoder``; what is resident is bound to device memory instead of its array."""
        session = self._sessions[graph]
        binding = session.io_binding()
        check_tensors(graph, "input", _tensors(session.get_inputs()), described(inputs))
        check_tensors(graph, "output", _tensors(session.get_outputs()), described(outputs))
        for name, array in inputs.items():
            if name in self._placement.resident:
                binding.bind_ortvalue_input(name, self._stand_in(array))
            else:
                binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, _address(array))
        for name, array in outputs.items():
            if name in self._placement.resident:
                binding.bind_ortvalue_output(name, self._stand_in(array))
            else:
                binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, _address(array))
        return partial(session.run_with_iobinding, binding)

    def _stand_in(self, array: Array) -> Any:
        """Device memory in the place of an array that no one reads on the host."""
        address = _address(array)
        if address not in self._values:
            make = onnxruntime.OrtValue.ortvalue_from_numpy
            self._values[address] = make(array, self._placement.memory)
        return self._values[address]


class OrtEngine(HostEngine):
    """``HostEngine`` with onnxruntime."""

    def __init__(
        self, bundle: Bundle, precision: str, threads: int = 1, device: str = "cpu"
    ) -> None:
        """Raises EngineError; see ``OrtGraphs``. A graph that does not fit the manifest, too."""
        graphs = OrtGraphs(graph_files(bundle, precision, GRAPHS), threads, device)
        super().__init__(bundle.manifest, graphs.bind)


def graph_files(bundle: Bundle, precision: str, names: Sequence[str]) -> dict[str, GraphFile]:
    """Graphs of a precision by name. Raises BundleError if the bundle lacks one."""
    return {
        name: GraphFile(f"bundle {bundle.path}: {precision}/{name}", bundle.graph(precision, name))
        for name in names
    }


def require_provider(provider: str) -> None:
    """Raises EngineError where this onnxruntime was built without the execution provider."""
    if provider not in onnxruntime.get_available_providers():
        raise EngineError(
            f"onnxruntime {onnxruntime.__version__} here has no {provider}; "
            "pip install onnxruntime-gpu in the place of onnxruntime"
        )


def _address(array: Array) -> int:
    return int(array.ctypes.data)


def _session(graph: GraphFile, threads: int, provider: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(graph.content, options, providers=[provider])
    except Exception as error:  # onnxruntime's own errors share no narrower base
        line = str(error).splitlines()[0]
        raise EngineError(f"{graph.where}: {line}") from error
    if provider not in session.get_providers():
        raise EngineError(f"onnxruntime could not start {provider}: is there an NVIDIA GPU here?")
    return session


def _tensors(nodes: list[Any]) -> dict[str, Tensor]:
    return {n.name: Tensor(tuple(n.shape), _NUMPY_NAMES.get(n.type, n.type)) for n in nodes}
