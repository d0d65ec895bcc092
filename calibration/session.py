"""Runs the graphs one after another in onnxruntime: simple and slow, for measuring only.

Onboard, ``edge.engines`` runs the same graphs without copying.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator

from calibration.products import Graphs, large_products, module_of
from models.dataset import COMMAND_KEY

Arrays = Mapping[str, np.ndarray]
Watch = Callable[[str, np.ndarray], None]
"""Called with a layer and the input of its product."""


class GraphModel:
    """A bundle's graphs of one precision as one model.

    ``prefill``, ``step`` and ``decode_full`` are needed. ``watch`` sees the input of every large
    product as it runs. ``true_types``: in onnx's reference evaluator, which rounds every value to
    the type that the graph gives it; onnxruntime computes FP16 on a CPU in FP32 wherever it can.
    """

    def __init__(
        self, graphs: Graphs, watch: Watch | None = None, true_types: bool = False
    ) -> None:
        needed = ("prefill", "step", "decode_full")
        self._graphs: dict[str, Any] = {
            name: _TrueGraph(graphs[name]) if true_types else _Graph(name, graphs[name], watch)
            for name in needed
        }
        self.num_tokens: int = self._graphs["step"].inputs["self_kv"][4]
        self.features = list(self._graphs["prefill"].inputs)

    def generate(
        self, observation: Arrays, prefix: int, forced: np.ndarray | None = None
    ) -> np.ndarray:
        """``prefix`` greedy tokens, padded to (1, R), from raw features (1, S, dim).

        Each follows the ones before it, or those of ``forced`` (1, R) if they are given.
        """
        made = self._graphs["prefill"].run(dict(observation))
        tokens, cross_kv = np.zeros((1, self.num_tokens), np.int64), made["cross_kv"]
        tokens[:, 0] = made["next_token"][0]
        for position in range(1, prefix):
            token = (tokens if forced is None else forced)[:, position - 1 : position]
            inputs = {"token": token, "position": np.array([position])}
            inputs |= {"cross_kv": cross_kv, "self_kv": made["self_kv_next"]}
            made = self._graphs["step"].run(inputs)
            tokens[:, position] = made["next_token"][0]
        return tokens

    def decode(self, tokens: np.ndarray, prefix: int, observation: Arrays) -> np.ndarray:
        """The first ``prefix`` of tokens (1, R) to all actions (H, D) in rad."""
        graph = self._graphs["decode_full"]
        inputs = {"tokens": tokens, "prefix": np.array([prefix])}
        if "command" in graph.inputs:
            inputs["command"] = observation[COMMAND_KEY][:, -1]
        inputs |= {key: observation[key] for key in self.features if key in graph.inputs}
        return graph.run(inputs)["action"][0]


@dataclass(frozen=True)
class GraphPolicy:
    """The graphs as a policy for ``models.rollout``: observations in, a chunk of actions out."""

    model: GraphModel
    prefix: int

    def __call__(self, observation: Arrays) -> np.ndarray:
        """Raw features (n_obs_steps, dim) each to actions (action_horizon, D) in rad."""
        batch = {key: observation[key][None].astype(np.float32) for key in self.model.features}
        tokens = self.model.generate(batch, self.prefix)
        return self.model.decode(tokens, self.prefix, batch)


class _Graph:
    """One session; with ``watch``, the inputs of its large products are outputs too."""

    def __init__(self, name: str, model: onnx.ModelProto, watch: Watch | None) -> None:
        self._watch, self._taps = watch, _taps(name, model) if watch else {}
        self._outputs = [output.name for output in model.graph.output]
        self._session = _session(_tapped(model, self._taps) if watch else model)
        self.inputs = {i.name: tuple(i.shape) for i in self._session.get_inputs()}

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        names = [*self._outputs, *self._taps.values()]
        values = self._session.run(names, inputs)
        if self._watch is not None:
            seen = values[len(self._outputs) :]
            for layer, value in zip(self._taps, seen, strict=True):
                self._watch(layer, value)
        return dict(zip(self._outputs, values, strict=False))


class _TrueGraph:
    """One graph in onnx's reference evaluator: slow, and exact in its types."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._evaluator = ReferenceEvaluator(model)
        self.inputs = {
            i.name: tuple(d.dim_value for d in i.type.tensor_type.shape.dim)
            for i in model.graph.input
        }

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        values = self._evaluator.run(None, dict(inputs))
        return dict(zip(self._evaluator.output_names, values, strict=True))


def _taps(name: str, model: onnx.ModelProto) -> dict[str, str]:
    """The value that enters each large product, by layer."""
    wanted, module = set(large_products(model)), module_of(name)
    return {f"{module}/{n.name}": n.input[0] for n in model.graph.node if n.name in wanted}


def _tapped(model: onnx.ModelProto, taps: Mapping[str, str]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(onnx.ValueInfoProto(name=value) for value in set(taps.values()))
    return copy


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
