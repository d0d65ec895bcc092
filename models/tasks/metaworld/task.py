"""MetaWorld's tasks as a `Task`; nothing here imports the package before a plant is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from models.tasks.metaworld.names import NAMES, PREFIX, TASK_KEY, one_of_ten
from models.tasks.seeds import evaluation_rng

if TYPE_CHECKING:
    from models.tasks.demonstrations import Demonstrations
    from models.tasks.metaworld.expert import Demonstrator
    from models.tasks.metaworld.plant import MetaWorldPlant

RATE_HZ = 80
MAX_STEPS = 500
REFERENCE_NAMES = ("hand_x", "hand_y", "hand_z", "finger_effort")


class EverSucceeded:
    """MetaWorld's own measure: the environment reports success at any step of the episode."""

    def __init__(self) -> None:
        self._done = False

    def update(self, plant: MetaWorldPlant) -> bool:
        """Account for one step; True from the first success on."""
        self._done = self._done or plant.succeeded
        return self._done


@dataclass(frozen=True)
class MetaWorldTask:
    """One of the 50 tasks; references are the hand's goal, x y z in m, and the fingers' effort.

    Raises ValueError, naming the known ones, for another name.
    """

    name: str
    rate_hz: int = RATE_HZ
    joint_names: tuple[str, ...] = REFERENCE_NAMES
    max_steps: int = MAX_STEPS

    def __post_init__(self) -> None:
        if self.name.removeprefix(PREFIX) not in NAMES:
            known = ", ".join(NAMES)
            raise ValueError(f"unknown task {self.name!r}; metaworld/ has {known}")

    @property
    def home_rad(self) -> np.ndarray:
        """The reference at which an episode begins, (4,), in m and effort."""
        return _home(self.name).copy()

    def make_plant(self) -> MetaWorldPlant:
        """A new environment. Needs the extra `metaworld`."""
        from models.tasks.metaworld.plant import MetaWorldPlant

        return MetaWorldPlant(self.name)

    def make_success(self) -> EverSucceeded:
        """A new predicate for one episode."""
        return EverSucceeded()

    def observe(self, plant: MetaWorldPlant, command: np.ndarray) -> dict[str, np.ndarray]:
        """One step of every feature, float32, while the reference is `command`, (4,)."""
        return {
            "observation.state": plant.state.astype(np.float32),
            "observation.environment_state": plant.environment_state.astype(np.float32),
            "observation.command": np.asarray(command, dtype=np.float32),
            TASK_KEY: one_of_ten(self.name.removeprefix(PREFIX)),
        }

    def evaluation_rng(self, seed: int, episode: int = 0) -> np.random.Generator:
        """Randomness of an evaluation's episode, apart from every demonstration's."""
        return evaluation_rng(seed, episode)

    def demonstrator(self, rng: np.random.Generator) -> Demonstrator:
        """The package's expert as a policy for one episode; it draws nothing from `rng`."""
        from models.tasks.metaworld.expert import Demonstrator

        return Demonstrator(self)

    def generate(self, n: int, seed: int, workers: int = 1) -> Demonstrations:
        """Record n demonstrations; see `expert.generate`."""
        from models.tasks.metaworld.expert import generate

        return generate(self, n, seed, workers)


@lru_cache(maxsize=len(NAMES))
def _home(name: str) -> np.ndarray:
    return MetaWorldTask(name).make_plant().home
