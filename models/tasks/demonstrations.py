"""Many demonstrations: recorded from a seed, kept in one .npz without pickles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np


@dataclass
class Episode:
    """Steps of one demonstration, each array with T rows; see `Demonstrations` for the columns."""

    state: np.ndarray
    environment_state: np.ndarray
    command: np.ndarray
    action: np.ndarray
    mask: np.ndarray
    mode: int


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
    """N episodes laid end to end, S steps in all, at the task's rate.

    state (S, D) measured joints; environment_state (S, E) what the task's plant says of its scene;
    command (S, D) the reference that was really commanded at the step, noise included; action
    (S, D) the clean reference for one step later; mask (S,) whether `action` is a valid label;
    episode_start (N,) first step of each episode; mode (N,) its approach; attempts (N,) how many
    runs of the expert it took. Floats are float32, units the task's.
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
        np.savez_compressed(path, **self.arrays())

    def arrays(self) -> dict[str, np.ndarray]:
        """All columns by the features' names."""
        return {key: getattr(self, field) for key, field in _COLUMNS.items()}

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


def record_all(
    record: Callable[[int], tuple[Episode, int]], n: int, workers: int
) -> Demonstrations:
    """Episodes 0 to n - 1; `record` gives one and how many attempts it took.

    With workers > 1 it is pickled. Raises ValueError for n or workers below 1.
    """
    if n < 1 or workers < 1:
        raise ValueError(f"n and workers must be at least 1, got {n} and {workers}")
    results = list(_results(record, n, workers))
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


def _results(
    record: Callable[[int], tuple[Episode, int]], n: int, workers: int
) -> Iterator[tuple[Episode, int]]:
    if workers == 1:
        yield from map(record, range(n))
        return
    with get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(record, range(n), chunksize=8)
