"""Observations that a policy meets when it acts: from its own rollouts, half of them disturbed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.rollout import History, Policy
from models.tasks import Task

FIRST_SEED = 1 << 20
"""Evaluations count their seeds from 0, so that they never meet an episode of calibration."""

STRIDE = 4
"""Policy steps between two observations that are kept: the runtime plans at any step."""

SHOVE_RAD = 0.05
"""Standard deviation of each joint's offset from the plan, one per chunk, every other episode."""

Observations = Mapping[str, np.ndarray]  # feature → (N, n_obs_steps, dim), raw units


def rollout_observations(
    task: Task, policies: Sequence[Policy], episodes: int, execute: int, first: int = 0
) -> Observations:
    """Observations of ``episodes`` rollouts, the policies taking turns; no evaluation sees them.

    ``first`` is the number of the first episode: other numbers are other starts.
    """
    plant = task.make_plant()
    rows: list[dict[str, np.ndarray]] = []
    for number in range(first, first + episodes):
        policy = policies[number // 2 % len(policies)]
        rng = task.evaluation_rng(FIRST_SEED, number)
        rows += _episode(task, plant, policy, rng, execute, shoved=number % 2 == 1)
    return {key: np.stack([row[key] for row in rows]).astype(np.float32) for key in rows[0]}


def thinned(observations: Observations, count: int) -> Observations:
    """At most ``count`` of the observations, evenly spread."""
    total = len(next(iter(observations.values())))
    index = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
    return {key: value[index] for key, value in observations.items()}


def _episode(
    task: Task, plant: Any, policy: Policy, rng: np.random.Generator, execute: int, shoved: bool
) -> list[dict[str, np.ndarray]]:
    plant.reset(rng)
    success, history, kept = task.make_success(), History(), []
    command = np.array(task.home_rad, dtype=np.float64)
    chunk = np.empty((0, command.size))
    for step in range(task.max_steps):
        history.add(task.observe(plant, command))
        if step % STRIDE == 0:
            kept.append(history.stacked())
        if step % execute == 0:
            chunk = np.asarray(policy(history.stacked()), dtype=np.float64)
            if shoved:
                chunk = chunk + rng.normal(0.0, SHOVE_RAD, command.size)
        plant.track(command, chunk[step % execute])
        command = chunk[step % execute]
        if success.update(plant):
            break
    return kept
