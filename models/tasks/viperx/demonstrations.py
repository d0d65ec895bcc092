"""Many demonstrations: generated from a seed, kept in one .npz without pickles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.tasks.seeds import training_rng
from models.tasks.viperx.episode import Episode, Recorder

if TYPE_CHECKING:
    from models.tasks.viperx.task import ViperXTask

_MAX_ATTEMPTS = 20
_COLUMNS = {
    "observation.state": "state",
    "observation.environment_state": "environment_state",
    "observation.command": "command",
    "action": "action",
    "mask": "mask",
    "episode_start": "episode_start",
    "mode": "mode",
    "attempts": "attempts",
}


@dataclass(frozen=True)
class Demonstrations:
    """N episodes laid end to end, S steps in all, 50 Hz.

    state (S, 7) measured joints, rad; environment_state (S, E) what the task's plant says of its
    scene, the pose of the cube to grasp first; command (S, 7) the reference that was really
    commanded at the step, noise included, rad; action (S, 7) the clean reference for 20 ms later,
    rad; mask (S,) whether `action` is a valid label; episode_start (N,) first step of each episode;
    mode (N,) its approach; attempts (N,) how many runs of the expert it took. Floats are float32.
    """

    state: np.ndarray
    environment_state: np.ndarray
    command: np.ndarray
    action: np.ndarray
    mask: np.ndarray
    episode_start: np.ndarray
    mode: np.ndarray
    attempts: np.ndarray

    def save(self, path: Path) -> None:
        """Write an .npz whose keys are the features' names."""
        arrays = {key: getattr(self, field) for key, field in _COLUMNS.items()}
        np.savez_compressed(path, **arrays)

    @staticmethod
    def load(path: Path) -> Demonstrations:
        """Read what `save` wrote; raises ValueError naming a missing array."""
        with np.load(path, allow_pickle=False) as arrays:
            missing = [key for key in _COLUMNS if key not in arrays.files]
            if missing:
                raise ValueError(f"{path}: not a demonstrations file, it lacks {missing[0]!r}")
            return Demonstrations(**{field: arrays[key] for key, field in _COLUMNS.items()})

    @property
    def success_rate(self) -> float:
        """Share of the expert's runs that ended with the task done."""
        return self.attempts.size / float(self.attempts.sum())


def generate(task: ViperXTask, n: int, seed: int, workers: int = 1) -> Demonstrations:
    """Record n successful demonstrations of a task; the same (n, seed) gives the same data.

    Raises ValueError for n or workers below 1, RuntimeError if the expert keeps failing.
    """
    if n < 1 or workers < 1:
        raise ValueError(f"n and workers must be at least 1, got {n} and {workers}")
    results = list(_record_all(task, n, seed, workers))
    episodes = [episode for episode, _ in results]
    lengths = [len(episode.mask) for episode in episodes]
    return Demonstrations(
        state=np.concatenate([episode.state for episode in episodes]),
        environment_state=np.concatenate([episode.environment_state for episode in episodes]),
        command=np.concatenate([episode.command for episode in episodes]),
        action=np.concatenate([episode.action for episode in episodes]),
        mask=np.concatenate([episode.mask for episode in episodes]),
        episode_start=np.cumsum([0, *lengths[:-1]]).astype(np.int64),
        mode=np.array([episode.mode for episode in episodes], dtype=np.int64),
        attempts=np.array([attempts for _, attempts in results], dtype=np.int64),
    )


def _record_all(task: ViperXTask, n: int, seed: int, workers: int) -> Iterator[tuple[Episode, int]]:
    record = partial(_record, task=task, seed=seed)
    if workers == 1:
        yield from map(record, range(n))
        return
    with get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(record, range(n), chunksize=8)


def _record(index: int, task: ViperXTask, seed: int) -> tuple[Episode, int]:
    """Episode `index` of a seed and how many attempts it took."""
    for attempt in range(_MAX_ATTEMPTS):
        rng = training_rng(seed, index, attempt)
        episode = Recorder(task, rng).record()
        if episode is not None:
            return episode, attempt + 1
    raise RuntimeError(f"seed {seed}, episode {index}: {_MAX_ATTEMPTS} attempts, none succeeded")
