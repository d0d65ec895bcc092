"""The adapted benchmarks as a `Task`; no package is imported before a plant is asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from models.tasks.metaworld.task import EverSucceeded
from models.tasks.missing import MissingError
from models.tasks.outside import libero, robocasa, robomimic
from models.tasks.outside.world import World
from models.tasks.seeds import evaluation_rng

DATASETS = "OAT_EDGE_DATASETS"
"""Environment variable: the folder of recordings, ``datasets`` where it is not set."""

PREFIXES = ("libero/", "robomimic/", "robocasa/")


class OutsidePlant:
    """An environment whose references are its own actions."""

    def __init__(self, world: World) -> None:
        self._world, self.observed, self.succeeded = world, {}, False
        self.size = world.action_size

    def reset(self, rng: np.random.Generator) -> None:
        """Begin from a start drawn at random."""
        self.observed, self.succeeded = self._world.reset(rng), False

    def track(self, start: np.ndarray, end: np.ndarray) -> None:
        """Do the action ``end``, (size,), for one control period."""
        self.observed, self.succeeded = self._world.step(np.clip(end, -1.0, 1.0))


@dataclass(frozen=True)
class OutsideTask:
    """``robomimic/<task>``, ``libero/<suite>/<task>`` or ``robocasa/<task>``.

    Done when the environment says so at any step. Raises ValueError for a name that none can have.
    """

    name: str

    def __post_init__(self) -> None:
        kind, _, rest = self.name.partition("/")
        if kind == "robomimic" and rest not in robomimic.TASKS:
            raise ValueError(
                f"unknown task {self.name!r}; robomimic/ has {_listed(robomimic.TASKS)}"
            )
        suite, _, task = rest.partition("/")
        if kind == "libero" and (suite not in libero.SUITES or not task):
            known = _listed(libero.SUITES)
            raise ValueError(
                f"unknown task {self.name!r}; libero/<suite>/<task> has suites {known}"
            )
        if kind == "robocasa" and not rest.isidentifier():
            raise ValueError(f"unknown task {self.name!r}; robocasa/ has such as OpenDrawer")

    @property
    def rate_hz(self) -> int:
        """Of its actions."""
        kind, _, rest = self.name.partition("/")
        return round(robomimic.rate_hz(rest, datasets())) if kind == "robomimic" else libero.RATE_HZ

    @property
    def max_steps(self) -> int:
        """Of an episode."""
        kind, _, rest = self.name.partition("/")
        if kind == "robomimic":
            return robomimic.TASKS[rest]
        return libero.MAX_STEPS if kind == "libero" else robocasa.MAX_STEPS

    @property
    def home_rad(self) -> np.ndarray:
        """No action: what is in force when an episode begins, (size,)."""
        return np.zeros(self.make_plant().size)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Elements of an action, numbered."""
        return tuple(f"action_{index}" for index in range(self.make_plant().size))

    def make_plant(self) -> OutsidePlant:
        """The environment, one a process. Raises MissingError that says what to fetch."""
        return _plant(self.name, datasets())

    def make_success(self) -> EverSucceeded:
        """A new predicate for one episode."""
        return EverSucceeded()

    def observe(self, plant: OutsidePlant, command: np.ndarray) -> dict[str, np.ndarray]:
        """One step of everything observed, float32, and the action before, ``command``."""
        features = {f"observation.{key}": value for key, value in plant.observed.items()}
        return features | {"observation.command": np.asarray(command, dtype=np.float32)}

    def evaluation_rng(self, seed: int, episode: int = 0) -> np.random.Generator:
        """Randomness of an evaluation's episode."""
        return evaluation_rng(seed, episode)

    def demonstrator(self, rng: np.random.Generator) -> NoReturn:
        """There is none: raises MissingError."""
        raise MissingError(f"{self.name} has no expert here; train on its recordings with --data")

    def generate(self, n: int, seed: int, workers: int = 1) -> NoReturn:
        """Nothing to generate from: raises MissingError that names the option for recordings."""
        raise MissingError(f"{self.name} has no expert here; give its recordings with --data")


def datasets() -> Path:
    """The folder of recordings."""
    return Path(os.environ.get(DATASETS) or "datasets")


@lru_cache(maxsize=1)
def _plant(name: str, folder: Path) -> OutsidePlant:
    kind, _, rest = name.partition("/")
    if kind == "robomimic":
        return OutsidePlant(robomimic.make_world(rest, folder))
    if kind == "robocasa":
        return OutsidePlant(robocasa.make_world(rest))
    return OutsidePlant(libero.make_world(*rest.split("/", 1)))


def _listed(names: Any) -> str:
    return ", ".join(names)
