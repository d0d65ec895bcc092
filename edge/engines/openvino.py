"""OpenVINO on the CPU: one thread, tuned for latency, on the same buffers as onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge.bundle import GRAPHS, Bundle
from edge.engines.host import Arrays, HostEngine, described
from edge.engines.tensors import Tensor, check_tensors
from edge.errors import EngineError

OPTIONS: dict[str, Any] = {
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": 1,
    "INFERENCE_NUM_THREADS": 1,
    "INFERENCE_PRECISION_HINT": "f32",  # no silent bfloat16 where the CPU has it
    "SNIPPETS_MODE": "DISABLE",  # 2026.4 fuses Mish into a kernel that it does not have
}


class OpenVinoEngine(HostEngine):
    """``HostEngine`` with OpenVINO's CPU plug-in."""

    def __init__(self, bundle: Bundle, precision: str) -> None:
        """Raises EngineError: openvino is not installed, or a graph does not load or fit."""
        try:
            import openvino
        except ImportError as error:
            message = f"openvino is not usable ({error}); pip install 'oat-edge[openvino]'"
            raise EngineError(message) from error
        self._openvino = openvino
        core = openvino.Core()
        self._models = {graph: _compiled(core, bundle, precision, graph) for graph in GRAPHS}
        super().__init__(bundle.manifest, self._bind)

    def _bind(self, graph: str, inputs: Arrays, outputs: Arrays) -> Callable[[], None]:
        """See ``HostEngine``. A request of its own for each set of arrays."""
        model = self._models[graph]
        check_tensors(graph, "input", _tensors(model.inputs), described(inputs))
        check_tensors(graph, "output", _tensors(model.outputs), described(outputs))
        request = model.create_infer_request()
        shared = self._openvino.Tensor
        for name, array in (inputs | outputs).items():
            request.set_tensor(name, shared(array, shared_memory=True))

        def run() -> None:
            request.start_async()
            request.wait()

        return run


def _compiled(core: Any, bundle: Bundle, precision: str, graph: str) -> Any:
    content = bundle.graph(precision, graph)
    try:
        return core.compile_model(core.read_model(content), "CPU", OPTIONS)
    except RuntimeError as error:
        line = " ".join(str(error).split())
        raise EngineError(f"bundle {bundle.path}: {precision}/{graph}: OpenVINO: {line}") from error


def _tensors(ports: Any) -> dict[str, Tensor]:
    """Tensors of a model's ports, under the names that the graph gave them."""
    return {
        port.any_name: Tensor(tuple(port.shape), port.element_type.to_dtype().name)
        for port in ports
    }
