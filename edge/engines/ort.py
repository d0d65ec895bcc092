"""The onnxruntime engine: any CPU, one thread, every buffer bound once at start.

The key-value cache stays where the graphs leave it: a step reads one of two buffers and writes the
other, and each next token lands where the following step reads its input. Nothing is allocated and
nothing is copied between steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from edge.bundle import COMMAND_KEY, GRAPHS, Bundle
from edge.engines import Float32Array
from edge.errors import EngineError
from edge.shared_memory import Record

Array = npt.NDArray[Any]


class OrtEngine:
    """Implements ``edge.engines.Engine`` with onnxruntime's CPU execution provider."""

    def __init__(self, bundle: Bundle, precision: str, threads: int = 1) -> None:
        """Raises EngineError where a graph does not load or does not fit the manifest."""
        manifest = bundle.manifest
        self._sessions = {graph: _session(bundle, precision, graph, threads) for graph in GRAPHS}
        self._tokens = np.zeros((1, 1 + manifest.tokenizer.tokens), np.int64)
        self._tokens[0, 0] = manifest.tokenizer.begin_token
        self._codes = self._tokens[:, 1:]
        self._prefix = np.zeros(1, np.int64)
        self._count = 0
        self._features = {
            feature.key: np.zeros((1, manifest.n_obs_steps, feature.size), np.float32)
            for feature in manifest.observation
        }
        self._command = np.zeros((1, len(manifest.action.names)), np.float32)
        self._conditioned = manifest.tokenizer.conditioned_on is not None
        self._cross = np.zeros(manifest.caches.cross, np.float32)
        self._caches = [np.zeros(manifest.caches.self_, np.float32) for _ in range(2)]
        action = manifest.action
        self._executed = np.zeros((1, action.execution_horizon, len(action.names)), np.float32)
        self._full = np.zeros((1, action.action_horizon, len(action.names)), np.float32)
        self._prefill_binding = self._bind("prefill", self._features, {"cross_kv": self._cross})
        self._step_bindings = [self._bind_step(index) for index in range(manifest.tokenizer.tokens)]
        self._decode_binding = self._bind_decode("decode", self._executed)
        self._full_binding = self._bind_decode("decode_full", self._full)

    def prefill(self, features: Record) -> None:
        """See ``Engine.prefill``."""
        for key, buffer in self._features.items():
            buffer[0] = features[key]
        if self._conditioned:
            self._command[0] = self._features[COMMAND_KEY][0, -1]
        self._sessions["prefill"].run_with_iobinding(self._prefill_binding)
        self._count = 0

    def next_token(self) -> int:
        """See ``Engine.next_token``."""
        if self._count == len(self._step_bindings):
            raise EngineError(f"all {self._count} tokens of the plan are generated already")
        self._sessions["step"].run_with_iobinding(self._step_bindings[self._count])
        self._count += 1
        return int(self._tokens[0, self._count])

    def decode(self, prefix: int) -> Float32Array:
        """See ``Engine.decode``."""
        return self._decode("decode", self._decode_binding, self._executed, prefix)

    def decode_full(self, prefix: int) -> Float32Array:
        """See ``Engine.decode_full``."""
        return self._decode("decode_full", self._full_binding, self._full, prefix)

    def _decode(self, graph: str, binding: Any, output: Float32Array, prefix: int) -> Float32Array:
        if not 1 <= prefix <= self._count:
            raise EngineError(f"prefix is {prefix}, allowed is 1 to {self._count} (tokens so far)")
        self._prefix[0] = prefix
        self._sessions[graph].run_with_iobinding(binding)
        actions: Float32Array = output[0]
        return actions

    def _bind_step(self, index: int) -> Any:
        inputs: dict[str, Array] = {
            "token": self._tokens[:, index : index + 1],
            "position": np.array([index], np.int64),
            "cross_kv": self._cross,
            "self_kv": self._caches[index % 2],
        }
        outputs: dict[str, Array] = {
            "next_token": self._tokens[:, index + 1 : index + 2],
            "self_kv_next": self._caches[(index + 1) % 2],
        }
        return self._bind("step", inputs, outputs)

    def _bind_decode(self, graph: str, output: Float32Array) -> Any:
        inputs: dict[str, Array] = {"tokens": self._codes, "prefix": self._prefix}
        if self._conditioned:
            inputs["command"] = self._command
        return self._bind(graph, inputs, {"action": output})

    def _bind(self, graph: str, inputs: dict[str, Array], outputs: dict[str, Array]) -> Any:
        """Bind arrays in place; refuses a graph whose inputs or outputs are not these."""
        session = self._sessions[graph]
        binding = session.io_binding()
        _check(graph, "input", session.get_inputs(), inputs)
        _check(graph, "output", session.get_outputs(), outputs)
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        self._keep = [*getattr(self, "_keep", []), *inputs.values()]
        return binding


def _session(bundle: Bundle, precision: str, graph: str, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    content = bundle.graph(precision, graph)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no narrower base
        line = str(error).splitlines()[0]
        raise EngineError(f"bundle {bundle.path}: {precision}/{graph}: {line}") from error


def _check(graph: str, kind: str, nodes: list[Any], arrays: dict[str, Array]) -> None:
    have = {node.name: list(node.shape) for node in nodes}
    wanted = {name: list(array.shape) for name, array in arrays.items()}
    if have != wanted:
        raise EngineError(f"graph {graph}: {kind}s are {have}, the manifest says {wanted}")
