"""Chunks of a bundle's policy in closed loop with the simulated plant, kept for replay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.bundle import COMMAND_KEY, Manifest
from edge.chunks import Chunk
from edge.engines import Engine
from edge.rates import period_ns
from edge.records import request_dtype
from firmware_bridge.messages import Float64Array
from models.rollout import rollout


@dataclass(frozen=True, slots=True)
class Recording:
    """One episode's chunks, in order; ``success``: whether the plant's task was done."""

    seed: int
    prefix: int
    chunks: tuple[Chunk, ...]
    success: bool

    @property
    def start_rad(self) -> Float64Array:
        """The command that the episode began at, shape (joints,)."""
        start: Float64Array = self.chunks[0].knots_rad[0]
        return start


class RecordingPolicy:
    """A ``models.rollout`` policy on an engine; keeps every chunk with the command it starts at.

    Chunks stand one execution horizon apart, the first at time 0, as the rollout asks for them.
    """

    def __init__(self, engine: Engine, manifest: Manifest, prefix: int) -> None:
        self.chunks: list[Chunk] = []
        self._engine = engine
        self._prefix = prefix
        self._features = np.zeros((), request_dtype(manifest))["features"]
        self._step_ns = period_ns(manifest.action.rate_hz)
        self._execution_ns = manifest.action.execution_horizon * self._step_ns

    def __call__(self, observation: dict[str, Any]) -> Any:
        """Actions, (action_horizon, joints), from raw features, (n_obs_steps, size) each."""
        for key in self._features.dtype.names or ():
            self._features[key] = observation[key]
        self._engine.prefill(self._features)
        for _ in range(self._prefix):
            self._engine.next_token()
        actions = self._engine.decode_full(self._prefix).astype(np.float64)
        knots = np.vstack([observation[COMMAND_KEY][-1], actions])
        number = len(self.chunks)
        observed_ns = number * self._execution_ns
        self.chunks.append(Chunk(number + 1, observed_ns, self._step_ns, self._prefix, knots))
        return actions


def record(
    engine: Engine, manifest: Manifest, task: Any, prefixes: Iterable[int], seeds: Iterable[int]
) -> list[Recording]:
    """One episode for every prefix and seed; episodes end with success or the task's last step."""
    execute = manifest.action.execution_horizon
    recordings = []
    for prefix in prefixes:
        for seed in seeds:
            policy = RecordingPolicy(engine, manifest, prefix)
            result = rollout(task, policy, seed, execute)
            recordings.append(Recording(seed, prefix, tuple(policy.chunks), result.success))
    return recordings
