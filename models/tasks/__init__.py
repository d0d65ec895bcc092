"""Tasks: what a policy is asked to do, on which plant, and when it has done it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from models.tasks.metaworld.names import PREFIX as METAWORLD
from models.tasks.metaworld.names import TEN, TEN_NAME
from models.tasks.metaworld.task import MetaWorldTask
from models.tasks.metaworld.ten import MetaWorldTen
from models.tasks.outside.task import PREFIXES as OUTSIDE
from models.tasks.outside.task import OutsideTask
from models.tasks.robosuite.names import PREFIX as ROBOSUITE
from models.tasks.robosuite.task import RobosuiteTask
from models.tasks.so101.task import SO101Lift
from models.tasks.viperx.task import ViperXLift, ViperXPickPlace, ViperXStack

__all__ = ["TASK_NAMES", "Plant", "Success", "Task", "get_task", "rolled_out"]


class Plant(Protocol):
    """A simulated robot in its scene, as far as a closed loop at the policy's rate needs it."""

    def reset(self, rng: np.random.Generator) -> None:
        """Rest the robot at home in a scene drawn at random."""

    def track(self, start_rad: np.ndarray, end_rad: np.ndarray) -> None:
        """Advance one policy step while the reference runs linearly from start to end."""


class Success(Protocol):
    """Decides over one episode whether the task is done."""

    def update(self, plant: Any) -> bool:
        """Account for one policy step; True once the task is done."""


class Task(Protocol):
    """One task; joint arrays follow the order of `joint_names`, in rad.

    Where a robot is commanded otherwise, they hold its references; the task says in what units.
    """

    name: str
    rate_hz: int
    joint_names: tuple[str, ...]
    home_rad: np.ndarray
    max_steps: int

    def make_plant(self) -> Any:
        """A new `Plant`."""

    def make_success(self) -> Success:
        """A new predicate for one episode."""

    def observe(self, plant: Any, command_rad: np.ndarray) -> dict[str, np.ndarray]:
        """One step of every observation feature, (dim,) float32 each, in raw units."""

    def evaluation_rng(self, seed: int, episode: int = 0) -> np.random.Generator:
        """Randomness of an evaluation's episode, apart from every demonstration's."""

    def demonstrator(self, rng: np.random.Generator) -> Any:
        """The expert, without noise, as a policy for one episode of ``models.rollout``.

        It is called at every step, and the first action of each answer is executed.
        """

    def generate(self, n: int, seed: int, workers: int = 1) -> Any:
        """Record n demonstrations of the expert; the same (n, seed) gives the same data."""


_TASKS = {
    "viperx-lift": ViperXLift,
    "viperx-pick-place": ViperXPickPlace,
    "viperx-stack": ViperXStack,
    "so101-lift": SO101Lift,
}
TASK_NAMES = tuple(_TASKS)
"""Those of the robots that `oat-edge run` knows."""


def rolled_out(name: str) -> list[str]:
    """The tasks that a name stands for in closed loop: itself, or the ten of `metaworld-10`."""
    return [METAWORLD + one for one in TEN] if name == TEN_NAME else [name]


def get_task(name: str) -> Any:
    """The `Task` of that name; raises ValueError naming the known ones.

    `metaworld-10` can be demonstrated only: what is rolled out is one of the ten, by its own name.
    """
    if name == TEN_NAME:
        return MetaWorldTen()
    if name.startswith(METAWORLD):
        return MetaWorldTask(name)
    if name.startswith(ROBOSUITE):
        return RobosuiteTask(name)
    if name.startswith(OUTSIDE):
        return OutsideTask(name)
    if name not in _TASKS:
        elsewhere = (METAWORLD, ROBOSUITE, "libero/<suite>/", "robomimic/", "robocasa/")
        known = ", ".join((*TASK_NAMES, TEN_NAME, *(f"{prefix}<task>" for prefix in elsewhere)))
        raise ValueError(f"unknown task {name!r}; known tasks: {known}")
    return _TASKS[name]()
