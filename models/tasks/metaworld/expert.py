"""The package's scripted experts: as a policy in closed loop, and as demonstrators with noise."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from models.tasks.demonstrations import Demonstrations, Episode, record_all
from models.tasks.metaworld.names import PREFIX
from models.tasks.noise import OrnsteinUhlenbeck
from models.tasks.seeds import training_rng

if TYPE_CHECKING:
    from models.tasks.metaworld.plant import MetaWorldPlant
    from models.tasks.metaworld.task import MetaWorldTask

NOISE_MAX_M = 0.004
GRASP_NOISE = 0.25
"""Share of the noise while the fingers press."""

AFTER_STEPS = 16
"""A demonstration goes on so long after its success, so that a chunk sees how to stay there."""

_MAX_ATTEMPTS = 20


class PackageExpert:
    """One of the package's policies. They look at the present alone: no memory, no randomness."""

    def __init__(self, name: str) -> None:
        from metaworld.policies import ENV_POLICY_MAP

        self._policy = ENV_POLICY_MAP[f"{name.removeprefix(PREFIX)}-v3"]()

    def action(self, state: np.ndarray, environment: np.ndarray) -> np.ndarray:
        """The package's action, (4,) in [-1, 1], from state (4,) and environment state (17,)."""
        now = np.concatenate([state, environment[:14]])
        with warnings.catch_warnings():
            # It says that its gains saturate, which is why actions are clipped.
            warnings.filterwarnings("ignore", "Constant")
            wanted = self._policy.get_action(np.concatenate([now, now, environment[14:]]))
        return np.clip(wanted, -1.0, 1.0)


class Demonstrator:
    """The expert as a policy for `models.rollout`, an action a call."""

    def __init__(self, task: MetaWorldTask) -> None:
        from models.tasks.metaworld.plant import MetaWorldPlant

        self._expert, self._bounds = PackageExpert(task.name), MetaWorldPlant(task.name).bounds

    def __call__(self, observations: dict[str, np.ndarray]) -> np.ndarray:
        """From features, (n_obs_steps, dim) each, to the next reference, (1, 4)."""
        state, scene, command = (
            observations[f"observation.{key}"][-1].astype(np.float64)
            for key in ("state", "environment_state", "command")
        )
        return self._bounds.after(command[:3], self._expert.action(state, scene))[None]


def generate(task: MetaWorldTask, n: int, seed: int, workers: int = 1) -> Demonstrations:
    """Record n successful demonstrations; the same (n, seed) gives the same data.

    Raises ValueError for n or workers below 1, RuntimeError if the expert keeps failing.
    """
    return record_all(partial(_record, task=task, seed=seed), n, workers)


def _record(index: int, task: MetaWorldTask, seed: int) -> tuple[Episode, int]:
    plant, expert = task.make_plant(), PackageExpert(task.name)
    for attempt in range(_MAX_ATTEMPTS):
        episode = _attempt(plant, expert, training_rng(seed, index, attempt), task.max_steps)
        if episode is not None:
            return episode, attempt + 1
    raise RuntimeError(f"seed {seed}, episode {index}: {_MAX_ATTEMPTS} attempts, none succeeded")


def _attempt(
    plant: MetaWorldPlant, expert: PackageExpert, rng: np.random.Generator, max_steps: int
) -> Episode | None:
    """Noise on what is executed, clean references as labels; None without success."""
    plant.reset(rng)
    noise, command = OrnsteinUhlenbeck(rng, rng.uniform(0, NOISE_MAX_M), 3), plant.home
    rows, left = [], AFTER_STEPS
    for _ in range(max_steps):
        clean = plant.bounds.after(plant.goal, expert.action(plant.state, plant.environment_state))
        wander = noise.next(GRASP_NOISE if clean[3] > 0 else 1.0)
        rows.append((plant.state, plant.environment_state, command, clean))
        plant.track(command, clean + np.append(wander, 0.0))
        command = np.append(plant.goal, clean[3])
        left -= plant.succeeded or left < AFTER_STEPS
        if left == 0:
            break
    if left == AFTER_STEPS:
        return None
    state, scene, commands, action = (
        np.array(column, dtype=np.float32) for column in zip(*rows, strict=True)
    )
    return Episode(state, scene, commands, action, np.ones(len(rows), dtype=bool), 0)
