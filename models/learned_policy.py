"""A checkpoint as a policy for ``models.rollout``: observations in, a chunk of actions out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from models.checkpoint import Checkpoint
from models.generation import act


@dataclass(frozen=True)
class LearnedPolicy:
    """Greedy actions from the first ``prefix`` tokens, computed by torch."""

    checkpoint: Checkpoint
    prefix: int

    def __call__(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """Raw features (n_obs_steps, dim) each to actions (action_horizon, D) in rad."""
        tensors = {
            key: torch.from_numpy(np.asarray(observation[key], np.float32))[None]
            for key in self.checkpoint.policy.config.features
        }
        actions = act(self.checkpoint.tokenizer, self.checkpoint.policy, tensors, self.prefix)
        return actions[0].numpy()
