"""Demonstrations of the scripted experts, generated from a seed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from models.tasks.demonstrations import Demonstrations, Episode, record_all
from models.tasks.seeds import training_rng
from models.tasks.viperx.episode import Recorder

if TYPE_CHECKING:
    from models.tasks.arm_task import ArmTask

_MAX_ATTEMPTS = 20


def generate(task: ArmTask, n: int, seed: int, workers: int = 1) -> Demonstrations:
    """Record n successful demonstrations of a task; the same (n, seed) gives the same data.

    Raises ValueError for n or workers below 1, RuntimeError if the expert keeps failing.
    """
    return record_all(partial(_record, task=task, seed=seed), n, workers)


def _record(index: int, task: ArmTask, seed: int) -> tuple[Episode, int]:
    """Episode `index` of a seed and how many attempts it took."""
    for attempt in range(_MAX_ATTEMPTS):
        episode = Recorder(task, training_rng(seed, index, attempt)).record()
        if episode is not None:
            return episode, attempt + 1
    raise RuntimeError(f"seed {seed}, episode {index}: {_MAX_ATTEMPTS} attempts, none succeeded")
