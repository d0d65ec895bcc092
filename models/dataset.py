"""Demonstrations as windows: what was observed at a step, and the chunk of actions that followed.

They come from any file that `models.data` reads. Our own is a .npz without pickles. It holds, one
row per step at the policy's rate and all episodes behind one another: ``observation.*`` features,
``action`` (the clean reference of the next step), ``mask`` (the action is a valid label); and
``episode_start``, each episode's first row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.data.errors import DataError
from models.data.formats import read_recording
from models.data.recording import training_arrays

COMMAND_KEY = "observation.command"


@dataclass(frozen=True)
class Windows:
    """Training examples by index; tensors of all steps are kept once and gathered per batch.

    features: key → (N, dim); action (N, D); first, last (N,): the bounds of each row's episode;
    index (W,): rows at which a window may start, its labels all valid.
    """

    features: Mapping[str, Tensor]
    action: Tensor
    first: Tensor
    last: Tensor
    index: Tensor
    n_obs_steps: int
    action_horizon: int

    def __len__(self) -> int:
        return len(self.index)

    def observation(self, rows: Tensor) -> dict[str, Tensor]:
        """Features (B, n_obs_steps, dim), newest last; before an episode its first row repeats."""
        back = torch.arange(self.n_obs_steps - 1, -1, -1)
        steps = torch.maximum(rows[:, None] - back, self.first[rows][:, None])
        return {key: value[steps] for key, value in self.features.items()}

    def command(self, rows: Tensor) -> Tensor:
        """The reference in force when the chunk begins, (B, D)."""
        return self.features[COMMAND_KEY][rows]

    def chunk(self, rows: Tensor) -> Tensor:
        """Actions (B, action_horizon, D); after an episode its last one repeats."""
        ahead = torch.arange(self.action_horizon)
        steps = torch.minimum(rows[:, None] + ahead, self.last[rows][:, None])
        return self.action[steps]

    def draw(self, batch: int) -> Tensor:
        """Random rows (B,) to start at."""
        return self.index[torch.randint(len(self.index), (batch,))]

    def subset(self, index: Tensor) -> Windows:
        """The same steps with other starting rows."""
        shared = (self.features, self.action, self.first, self.last)
        return Windows(*shared, index, self.n_obs_steps, self.action_horizon)


def load_windows(
    path: Path, features: Sequence[str], n_obs_steps: int, action_horizon: int
) -> Windows:
    """Reads recorded data; raises ValueError naming what is missing or malformed."""
    arrays = training_arrays(read_recording(path))
    for key in features:
        if key not in arrays:
            raise DataError(f"{path}: no {key!r}; it has {', '.join(sorted(arrays))}")
    return make_windows(arrays, features, n_obs_steps, action_horizon)


def make_windows(
    arrays: Mapping[str, np.ndarray], features: Sequence[str], n_obs_steps: int, action_horizon: int
) -> Windows:
    """Windows over the arrays of a demonstrations file; raises ValueError for unequal lengths."""
    rows = len(arrays["action"])
    for key in ("mask", *features):
        if len(arrays[key]) != rows:
            raise ValueError(f"{key} has {len(arrays[key])} rows, action has {rows}")
    first, last = _bounds(arrays["episode_start"], rows)
    index = np.flatnonzero(_all_valid_ahead(arrays["mask"], last, action_horizon))
    if len(index) == 0:
        raise ValueError("no step is followed by valid labels")
    kept = {*features, COMMAND_KEY}
    return Windows(
        features={key: torch.from_numpy(arrays[key].astype(np.float32)) for key in sorted(kept)},
        action=torch.from_numpy(arrays["action"].astype(np.float32)),
        first=torch.from_numpy(first),
        last=torch.from_numpy(last),
        index=torch.from_numpy(index),
        n_obs_steps=n_obs_steps,
        action_horizon=action_horizon,
    )


def split_by_episode(windows: Windows, held_out: float, seed: int) -> tuple[Windows, Windows]:
    """Training and validation windows; no episode is in both; at least one in each."""
    episodes = torch.unique(windows.first[windows.index])
    if len(episodes) < 2:
        raise ValueError(f"need at least 2 episodes to hold one out, got {len(episodes)}")
    shuffled = episodes[torch.randperm(len(episodes), generator=_generator(seed))]
    count = min(max(1, round(held_out * len(episodes))), len(episodes) - 1)
    in_validation = torch.isin(windows.first[windows.index], shuffled[:count])
    return (
        windows.subset(windows.index[~in_validation]),
        windows.subset(windows.index[in_validation]),
    )


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _bounds(episode_start: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last row of every row's episode, each (rows,)."""
    starts = np.asarray(episode_start, dtype=np.int64)
    if len(starts) == 0 or starts[0] != 0 or (np.diff(starts) <= 0).any() or starts[-1] >= rows:
        raise ValueError("episode_start must rise from 0 and stay below the number of rows")
    lengths = np.diff(np.append(starts, rows))
    return np.repeat(starts, lengths), np.repeat(starts + lengths - 1, lengths)


def _all_valid_ahead(mask: np.ndarray, last: np.ndarray, horizon: int) -> np.ndarray:
    """Whether all labels of the window that starts at each row are valid, (rows,)."""
    invalid = np.concatenate([[0], np.cumsum(~mask.astype(bool))])
    start = np.arange(len(mask))
    end = np.minimum(start + horizon - 1, last)
    return invalid[end + 1] == invalid[start]
