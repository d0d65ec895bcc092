"""The engine ``auto``: which engine this machine and this bundle are best served by, and why."""

from __future__ import annotations

from dataclasses import dataclass

from edge.bundle import GRAPHS, Bundle
from edge.engines.native.library import load
from edge.engines.trt.backend import load_backend
from edge.engines.trt.cuda_driver import find_gpu
from edge.engines.trt.device import require_pycuda
from edge.errors import EngineError

CPU_OPERATOR = b"DynamicQuantizeLinear"
"""Quantizes activations by the range that they happen to have; TensorRT does not parse it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine's name and the reason for it."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}, because {self.reason}"


def choose(bundle: Bundle, precision: str) -> Choice:
    """TensorRT where a GPU, the library and PyCUDA are; else the CPU, by ``native`` or by ``ort``.

    Other engines are chosen by name only: OpenVINO ties with onnxruntime, and onnxruntime on a GPU
    spends more on launches than these small graphs save. Raises BundleError if the bundle lacks
    the precision.
    """
    if for_cpus(bundle, precision):
        return Choice("ort", f"the {precision} graphs quantize as they go, which it alone does")
    try:
        gpu = find_gpu()
        require_pycuda()
    except EngineError as error:
        return _on_cpu(str(error))
    missing = []
    for flavour in ("tensorrt", "tensorrt-rtx"):
        try:
            return Choice(flavour, f"{load_backend(flavour)} and {gpu.name} are here")
        except EngineError as error:
            missing.append(str(error))
    return _on_cpu(f"{gpu.name} is here, but {missing[0]}")


def _on_cpu(reason: str) -> Choice:
    try:
        load()
    except EngineError as error:
        return Choice("ort", f"{reason}; {error}")
    return Choice("native", reason)


def for_cpus(bundle: Bundle, precision: str) -> bool:
    """Whether any graph of this precision holds what only CPU engines run."""
    return any(CPU_OPERATOR in bundle.graph(precision, graph) for graph in GRAPHS)
