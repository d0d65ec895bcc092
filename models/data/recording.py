"""A recording: episodes of observations and actions end to end, whatever file they are from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from models.data.errors import DataError

ACTION = "action"
STATE = "observation.state"
COMMAND = "observation.command"


@dataclass(frozen=True)
class Recording:
    """S steps of N episodes.

    source: path and format, for messages. columns: ``action`` and ``observation.*``, each (S, dim)
    float32. episode_start (N,) int64, the first step of each episode, rising from 0. rate_hz: None
    where the file does not say. time_s (S,) float64 since each episode's start, or None. mask (S,)
    bool: the action is a valid label; None where all are. names: those of a column's elements.
    notices: what was left out, and why.
    """

    source: str
    columns: Mapping[str, np.ndarray]
    episode_start: np.ndarray
    rate_hz: float | None = None
    time_s: np.ndarray | None = None
    mask: np.ndarray | None = None
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if ACTION not in self.columns:
            have = ", ".join(sorted(self.columns)) or "nothing"
            raise DataError(f"{self.source}: no {ACTION!r}; it has {have}")
        for key, column in self.columns.items():
            if column.ndim != 2 or len(column) != self.steps:
                raise DataError(
                    f"{self.source}: {key!r} is {column.shape}, expected is ({self.steps}, dim)"
                )
        starts = self.episode_start
        listed = starts.ndim == 1 and len(starts) > 0 and starts.dtype.kind in "iu"
        if not listed or starts[0] != 0 or (np.diff(starts) <= 0).any() or starts[-1] >= self.steps:
            raise DataError(f"{self.source}: episodes must each have a step, from the first on")

    @property
    def steps(self) -> int:
        """S, steps of all episodes."""
        return len(self.columns[ACTION])

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each episode, (N,)."""
        return np.diff(np.append(self.episode_start, self.steps))

    def place(self, step: int) -> str:
        """A step in words: its episode and its number therein."""
        episode = int(np.searchsorted(self.episode_start, step, side="right")) - 1
        return f"episode {episode}, step {step - int(self.episode_start[episode])}"


def training_arrays(recording: Recording) -> dict[str, np.ndarray]:
    """The arrays of a demonstrations file. Raises DataError naming a value that is not finite.

    Where no command was recorded, the action before stands for it, and at an episode's start the
    state if it is as long as an action, else the first action.
    """
    arrays = dict(recording.columns)
    for key, column in arrays.items():
        bad = np.flatnonzero(~np.isfinite(column).all(axis=1))
        if len(bad):
            where = recording.place(int(bad[0]))
            raise DataError(f"{recording.source}: {key!r} is not finite at {where}")
    mask = recording.mask
    arrays.setdefault(COMMAND, _previous_actions(recording))
    arrays["mask"] = np.ones(recording.steps, dtype=bool) if mask is None else mask
    arrays["episode_start"] = recording.episode_start
    return arrays


def _previous_actions(recording: Recording) -> np.ndarray:
    action = recording.columns[ACTION]
    state = recording.columns.get(STATE, action)
    first = state if state.shape == action.shape else action
    previous = np.concatenate([action[:1], action[:-1]])
    previous[recording.episode_start] = first[recording.episode_start]
    return previous
