"""Runs the graphs one after another in onnxruntime: simple and slow, for measuring parity only.

Onboard, ``edge.engines`` runs the same graphs without copying.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime

from models.dataset import COMMAND_KEY

Arrays = Mapping[str, np.ndarray]


class GraphModel:
    """A bundle's graphs of one precision as one model."""

    def __init__(self, graphs: Mapping[str, onnx.ModelProto]) -> None:
        self._sessions = {name: _session(model) for name, model in graphs.items()}
        self._step = {i.name: i for i in self._sessions["step"].get_inputs()}
        self.num_tokens: int = self._step["self_kv"].shape[4]
        self.features = [i.name for i in self._sessions["prefill"].get_inputs()]

    def generate(self, observation: Arrays, begin: int, prefix: int) -> np.ndarray:
        """``prefix`` greedy tokens, padded to (1, R), from raw features (1, S, dim)."""
        (cross_kv,) = self._sessions["prefill"].run(None, dict(observation))
        token = np.array([[begin]])
        self_kv = np.zeros(self._step["self_kv"].shape, np.float32)
        tokens = np.zeros((1, self.num_tokens), np.int64)
        for position in range(prefix):
            inputs = {"token": token, "position": np.array([position])}
            inputs |= {"cross_kv": cross_kv, "self_kv": self_kv}
            token, self_kv = self._sessions["step"].run(None, inputs)
            tokens[:, position] = token[0]
        return tokens

    def decode(self, tokens: np.ndarray, prefix: int, observation: Arrays) -> np.ndarray:
        """The first ``prefix`` of tokens (1, R) to all actions (H, D) in rad."""
        session = self._sessions["decode_full"]
        inputs = {"tokens": tokens, "prefix": np.array([prefix])}
        if any(i.name == "command" for i in session.get_inputs()):
            inputs["command"] = observation[COMMAND_KEY][:, -1]
        return session.run(None, inputs)[0][0]


@dataclass(frozen=True)
class GraphPolicy:
    """The graphs as a policy for ``models.rollout``: observations in, a chunk of actions out."""

    model: GraphModel
    begin: int
    prefix: int

    def __call__(self, observation: Arrays) -> np.ndarray:
        """Raw features (n_obs_steps, dim) each to actions (action_horizon, D) in rad."""
        batch = {key: observation[key][None].astype(np.float32) for key in self.model.features}
        tokens = self.model.generate(batch, self.begin, self.prefix)
        return self.model.decode(tokens, self.prefix, batch)


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
