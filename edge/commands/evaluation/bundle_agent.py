"""A bundle's policy on one of its engines as an agent of ``models.evaluation``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge import bundle as bundles
from edge.engines import build_engine
from edge.manifest import Manifest
from edge.records import request_dtype
from models.agent import Plan


class BundleAgent:
    """Greedy tokens from the graphs that ship, decoded at any prefix."""

    def __init__(self, engine: Any, manifest: Manifest) -> None:
        self._engine = engine
        self._features = np.zeros((), request_dtype(manifest))["features"]
        self.most_tokens = manifest.tokenizer.tokens

    def plan(self, observation: dict[str, Any], k: int | None, rng: np.random.Generator) -> Any:
        """See ``models.agent.Agent``; deterministic."""
        count = self.most_tokens if k is None else k
        for key in self._features.dtype.names or ():
            self._features[key] = observation[key]
        self._engine.prefill(self._features)
        for _ in range(count):
            self._engine.next_token()
        return Plan(self._engine.decode_full(count).astype(np.float64), count)


def load_bundle_agent(path: Path, engine: str, precision: str) -> BundleAgent:
    """Raises BundleError or EngineError that says what is missing."""
    loaded = bundles.load(path)
    return BundleAgent(build_engine(loaded, engine, precision), loaded.manifest)
