"""The experts in closed loop: as a policy, and as demonstrators with noise."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from models.tasks.demonstrations import Demonstrations, Episode, record_all
from models.tasks.noise import OrnsteinUhlenbeck
from models.tasks.robosuite.expert import Expert
from models.tasks.seeds import training_rng

if TYPE_CHECKING:
    from models.tasks.robosuite.plant import RobosuitePlant
    from models.tasks.robosuite.task import RobosuiteTask

NOISE_MAX_M, NOISE_MAX_RAD = 0.006, 0.03
HOLDING_NOISE = 0.25
"""Share of the noise while the fingers press."""

AFTER_STEPS = 16
"""A demonstration goes on so long after its success, so that a chunk sees how to stay there."""

_MAX_ATTEMPTS = 20


class Demonstrator:
    """The expert as a policy for `models.rollout`, an action a call."""

    def __init__(self, task: RobosuiteTask, rng: np.random.Generator) -> None:
        self._expert = Expert(task.name, rng)

    def __call__(self, observations: dict[str, np.ndarray]) -> np.ndarray:
        """From features, (n_obs_steps, dim) each, to the next reference, (1, 7)."""
        state, scene, command = (
            observations[f"observation.{key}"][-1].astype(np.float64)
            for key in ("state", "environment_state", "command")
        )
        return self._expert.reference(state, scene, command)[None]


def generate(task: RobosuiteTask, n: int, seed: int, workers: int = 1) -> Demonstrations:
    """Record n successful demonstrations; the same (n, seed) gives the same data.

    Raises ValueError for n or workers below 1, RuntimeError if the expert keeps failing.
    """
    return record_all(partial(_record, task=task, seed=seed), n, workers)


_plants: dict[str, RobosuitePlant] = {}
"""One a task in each process: building a scene takes a second."""


def _record(index: int, task: RobosuiteTask, seed: int) -> tuple[Episode, int]:
    if task.name not in _plants:
        _plants[task.name] = task.make_plant()
    for attempt in range(_MAX_ATTEMPTS):
        episode = _attempt(_plants[task.name], task, training_rng(seed, index, attempt))
        if episode is not None:
            return episode, attempt + 1
    raise RuntimeError(f"seed {seed}, episode {index}: {_MAX_ATTEMPTS} attempts, none succeeded")


def _attempt(
    plant: RobosuitePlant, task: RobosuiteTask, rng: np.random.Generator
) -> Episode | None:
    """Noise on what is executed, clean references as labels; None without success."""
    plant.reset(rng)
    expert, command, rows, left = Expert(task.name, rng), task.home_rad, [], AFTER_STEPS
    strength = rng.uniform(0, 1)
    moved = OrnsteinUhlenbeck(rng, strength * NOISE_MAX_M, 3)
    turned = OrnsteinUhlenbeck(rng, strength * NOISE_MAX_RAD, 3)
    for _ in range(task.max_steps):
        clean = expert.reference(plant.state, plant.environment_state, command)
        rows.append((plant.state, plant.environment_state, command, clean))
        share = HOLDING_NOISE if clean[6] > 0 else 1.0
        noisy = clean + np.concatenate([moved.next(share), turned.next(share), [0.0]])
        plant.track(command, noisy)
        command = noisy
        left -= plant.succeeded or left < AFTER_STEPS
        if left == 0:
            break
    if left == AFTER_STEPS:
        return None
    state, scene, commands, action = (
        np.array(column, dtype=np.float32) for column in zip(*rows, strict=True)
    )
    mask = np.ones(len(rows), dtype=bool)
    return Episode(state, scene, commands, action, mask, expert.mode)
