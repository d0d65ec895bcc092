"""A policy in closed loop with a task's plant, not in real time: how often does it succeed?"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np

from models.tasks import Plant, Task
from models.tasks.seeds import EVALUATION_STREAM

__all__ = [
    "EVALUATION_STREAM",
    "OBSERVATION_STEPS",
    "Evaluation",
    "History",
    "Policy",
    "Result",
    "evaluate",
    "rollout",
]

OBSERVATION_STEPS = 2

Policy = Callable[[dict[str, np.ndarray]], np.ndarray]
"""From observations, (2, dim) each with the newest last, to absolute references, (H, joints) rad.

Action i is the reference (i + 1) policy steps after the newest observation."""


@dataclass(frozen=True)
class Result:
    """One episode: whether and after how many steps it succeeded, and its roughest command."""

    seed: int
    success: bool
    steps: int
    max_command_step_rad: float


@dataclass(frozen=True)
class Evaluation:
    """Episodes of one policy on consecutive seeds."""

    results: tuple[Result, ...]

    @property
    def successes(self) -> int:
        """How many episodes succeeded."""
        return sum(result.success for result in self.results)

    @property
    def success_rate(self) -> float:
        """Share of the episodes that succeeded."""
        return self.successes / len(self.results)


def rollout(task: Task, policy: Policy, seed: int, execute: int = 16, episode: int = 0) -> Result:
    """One episode, number `episode` of a seed; ends with success or after `task.max_steps`.

    Raises ValueError if the policy returns fewer than `execute` steps or a value not finite.
    """
    rng = task.evaluation_rng(seed, episode)
    return _rollout_on(task.make_plant(), task, policy, seed, execute, rng)


def evaluate(
    task: Task, policy: Policy, n: int, execute: int = 16, workers: int = 1, first_seed: int = 0
) -> Evaluation:
    """Episodes on seeds first_seed … first_seed + n - 1; with workers > 1 the policy is pickled."""
    if n < 1 or workers < 1 or execute < 1:
        raise ValueError(f"n, workers and execute must be at least 1: {n}, {workers}, {execute}")
    run = partial(rollout, task, policy, execute=execute)
    seeds = range(first_seed, first_seed + n)
    if workers == 1:
        return Evaluation(tuple(map(run, seeds)))
    with get_context("spawn").Pool(workers, initializer=use_one_thread) as pool:
        return Evaluation(tuple(pool.imap(run, seeds)))


class History:
    """The last `OBSERVATION_STEPS` observations; the first one fills them all."""

    def __init__(self) -> None:
        self._steps: list[dict[str, np.ndarray]] = []

    def add(self, observation: dict[str, np.ndarray]) -> None:
        """Append one step, (dim,) each."""
        missing = max(1, OBSERVATION_STEPS - len(self._steps))
        self._steps = (self._steps + [observation] * missing)[-OBSERVATION_STEPS:]

    def stacked(self) -> dict[str, np.ndarray]:
        """All steps of every feature, (OBSERVATION_STEPS, dim) each, newest last."""
        return {key: np.stack([step[key] for step in self._steps]) for key in self._steps[-1]}


def _rollout_on(
    plant: Plant, task: Task, policy: Policy, seed: int, execute: int, rng: np.random.Generator
) -> Result:
    plant.reset(rng)
    success, history = task.make_success(), History()
    command, largest_step = np.array(task.home_rad, dtype=np.float64), 0.0
    chunk = np.empty((0, command.size))
    for step in range(task.max_steps):
        history.add(task.observe(plant, command))
        if step % execute == 0:
            chunk = _checked(policy(history.stacked()), execute, command.size)
        reference = chunk[step % execute]
        largest_step = max(largest_step, float(np.abs(reference - command).max()))
        plant.track(command, reference)
        command = reference
        if success.update(plant):
            return Result(seed, True, step + 1, largest_step)
    return Result(seed, False, task.max_steps, largest_step)


def _checked(actions: np.ndarray, execute: int, joints: int) -> np.ndarray:
    chunk = np.asarray(actions, dtype=np.float64)
    if chunk.ndim != 2 or chunk.shape[0] < execute or chunk.shape[1] != joints:
        raise ValueError(f"a policy returns (>= {execute}, {joints}) actions, got {chunk.shape}")
    if not np.isfinite(chunk).all():
        raise ValueError("the policy returned an action that is not finite")
    return chunk


def use_one_thread() -> None:
    """Each worker has its own core; a second thread in it would only contend."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
