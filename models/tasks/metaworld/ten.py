"""Ten of MetaWorld's tasks for one policy, which a feature tells at which of them it is.

Demonstrations are of all ten. What is rolled out is one of them at a time, by its own name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.tasks.metaworld.names import PREFIX, TASK_KEY, TEN, TEN_NAME, one_of_ten
from models.tasks.metaworld.task import RATE_HZ, REFERENCE_NAMES, MetaWorldTask


@dataclass(frozen=True)
class TenDemonstrations:
    """Demonstrations of all ten behind one another; columns as in `Demonstrations`, and the task.

    attempts (N,): how many runs of the expert each took.
    """

    columns: dict[str, np.ndarray]

    def arrays(self) -> dict[str, np.ndarray]:
        """All columns by the features' names."""
        return self.columns

    def save(self, path: Path) -> None:
        """Write an .npz whose keys are the features' names."""
        np.savez_compressed(path, **self.columns)


@dataclass(frozen=True)
class MetaWorldTen:
    """What there is to demonstrate; no `Task`: nothing is rolled out by this name."""

    name: str = TEN_NAME
    rate_hz: int = RATE_HZ
    joint_names: tuple[str, ...] = REFERENCE_NAMES

    def generate(self, n: int, seed: int, workers: int = 1) -> TenDemonstrations:
        """Record n demonstrations, as many of each of the ten.

        The same (n, seed) gives the same data. Raises ValueError unless n is a multiple of ten.
        """
        if n < len(TEN) or n % len(TEN):
            raise ValueError(f"demonstrations of {TEN_NAME} are multiples of {len(TEN)}, got {n}")
        return TenDemonstrations(
            _joined([_of_one(name, n // len(TEN), seed, workers) for name in TEN])
        )


def _of_one(name: str, n: int, seed: int, workers: int) -> dict[str, np.ndarray]:
    arrays = MetaWorldTask(PREFIX + name).generate(n, seed, workers).arrays()
    return {**arrays, TASK_KEY: np.tile(one_of_ten(name), (len(arrays["mask"]), 1))}


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """One behind the other; where episodes start moves with them."""
    before = np.cumsum([0, *(len(part["mask"]) for part in parts[:-1])])
    moved = [
        {**part, "episode_start": part["episode_start"] + offset}
        for part, offset in zip(parts, before, strict=True)
    ]
    return {key: np.concatenate([part[key] for part in moved]) for key in moved[0]}
