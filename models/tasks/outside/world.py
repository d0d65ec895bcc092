"""What an adapted environment does for a plant, and the environments that robosuite makes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

_NOT_TAKEN = ("proprio-state", "image", "depth")


class World(Protocol):
    """One simulated scene with a robot; ``action_size`` elements an action."""

    action_size: int

    def reset(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Begin an episode from a start drawn at random; what is observed, (dim,) each."""

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], bool]:
        """Do an action for one control period; what is observed, and whether the task is done."""


class RobosuiteWorld:
    """An environment made by robosuite 1.5, with the names that robomimic's recordings use."""

    def __init__(self, environment: Any) -> None:
        self._env = environment
        self.action_size = int(environment.action_dim)
        for name in environment.observation_names:
            if "joint_pos" in name or "eef_vel" in name:
                environment.modify_observable(name, "active", True)

    def reset(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """See `World`; the package draws from the generator of the environment."""
        fresh = np.random.default_rng(int(rng.integers(2**31)))
        self._env.rng.bit_generator.state = fresh.bit_generator.state
        return vectors(self._env.reset())

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], bool]:
        """See `World`."""
        observed, _, _, _ = self._env.step(action)
        done = self._env._check_success()
        return vectors(observed), bool(done["task"] if isinstance(done, Mapping) else done)


def vectors(observed: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What robosuite observes, less pictures and joined vectors; its objects are ``object``."""
    taken = {
        key: np.atleast_1d(np.asarray(value, dtype=np.float32))
        for key, value in observed.items()
        if not key.endswith(_NOT_TAKEN)
    }
    if "object-state" in taken:
        taken["object"] = taken.pop("object-state")
    return {key: value for key, value in taken.items() if value.ndim == 1}


def make_quietly(make: Any, **arguments: Any) -> Any:
    """Call robosuite's ``make`` without a screen, pictures or its advice in the log."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        unseen = {"has_renderer": False, "has_offscreen_renderer": False, "use_camera_obs": False}
        return make(**{**arguments, **unseen, "ignore_done": True, "use_object_obs": True})
    finally:
        logging.disable(before)
