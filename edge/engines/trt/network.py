"""ONNX → TensorRT network: strongly typed, and a refusal names its node.

In a strongly typed network every tensor has the type that the graph gives it: FP16 is FP16 ONNX,
INT8 is explicit QuantizeLinear and DequantizeLinear. TensorRT 10 asks for it by a flag; where the
flag is gone (precision flags left with 11), it is the only kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge.engines.trt.backend import Backend
from edge.errors import EngineError


@dataclass(frozen=True, slots=True)
class Network:
    """A parsed network. ``parser`` owns the weights: it has to live until the plan is built."""

    definition: Any
    parser: Any

    @property
    def nodes(self) -> int:
        """Number of layers before any fusion; one ONNX node may make several."""
        return int(self.definition.num_layers)


def parse(backend: Backend, builder: Any, onnx: bytes, graph: str) -> Network:
    """Parse a whole graph. Raises EngineError naming ``graph`` and the first node refused."""
    definition = builder.create_network(_creation_flags(backend.module))
    parser = backend.module.OnnxParser(definition, backend.logger)
    backend.errors.clear()
    if not parser.parse(onnx):
        raise EngineError(f"{backend} refuses graph {graph}: {_refusals(backend, parser)}")
    return Network(definition, parser)


def _creation_flags(module: Any) -> int:
    flag = getattr(module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _refusals(backend: Backend, parser: Any) -> str:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    if not errors:
        return backend.last_error()
    further = len(errors) - 1
    return _refusal(errors[0]) + (f" (and {further} more)" if further else "")


def _refusal(error: Any) -> str:
    """One line for a parser error; older parsers know the node's number only."""
    name = _call(error, "node_name") or f"number {error.node()}"
    operator = _call(error, "node_operator") or "unknown operator"
    description = " ".join(str(error.desc()).split())
    code = str(error.code()).rpartition(".")[2]
    reason = f"{code} in {error.func()}" if description in ("", "false") else description
    return f"node {name} ({operator}): {reason}"


def _call(error: Any, method: str) -> str:
    return str(getattr(error, method)()) if hasattr(error, method) else ""
