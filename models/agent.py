"""Agents: anything that plans a chunk from an observation, and says what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Observation = Mapping[str, np.ndarray]
"""Raw features, (n_obs_steps, dim) each, newest last."""


@dataclass(frozen=True)
class Plan:
    """A chunk of actions (H, D) in rad; ``tokens``: how many were generated, an end's included.

    Where ``decodable`` is false, what was generated stands for no chunk, and the actions hold
    the command in force.
    """

    actions: np.ndarray
    tokens: int | None = None
    decodable: bool = True


class Agent(Protocol):
    """``most_tokens``: it may be asked to stop after 1 to so many tokens; 0 if it cannot stop."""

    most_tokens: int

    def plan(self, observation: Observation, k: int | None, rng: np.random.Generator) -> Plan:
        """A chunk, from ``k`` tokens where it can stop; ``rng`` for methods that sample."""
