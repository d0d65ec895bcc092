"""robosuite's tasks as a `Task`; nothing here imports the package before a plant is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.tasks.metaworld.task import EverSucceeded
from models.tasks.robosuite.expert import HOME_YAW_RAD, OPEN
from models.tasks.robosuite.names import RATE_HZ, scene_of
from models.tasks.seeds import evaluation_rng

if TYPE_CHECKING:
    from models.tasks.demonstrations import Demonstrations
    from models.tasks.robosuite.demonstrations import Demonstrator
    from models.tasks.robosuite.plant import RobosuitePlant

REFERENCE_NAMES = ("hand_x", "hand_y", "hand_z", "turn_x", "turn_y", "turn_z", "finger_effort")


@dataclass(frozen=True)
class RobosuiteTask:
    """Lift, Can or Square; references are poses of the hand and the fingers' effort (`plant`).

    Done when the package says so at any step. Raises ValueError for another name.
    """

    name: str
    rate_hz: int = RATE_HZ
    joint_names: tuple[str, ...] = REFERENCE_NAMES

    def __post_init__(self) -> None:
        scene_of(self.name)

    @property
    def max_steps(self) -> int:
        """Of an episode, at 20 Hz."""
        return scene_of(self.name).max_steps

    @property
    def home_rad(self) -> np.ndarray:
        """The reference at which an episode begins, (7,), in m, rad and effort."""
        return np.array([*scene_of(self.name).home_m, 0.0, 0.0, HOME_YAW_RAD, OPEN])

    def make_plant(self) -> RobosuitePlant:
        """A new environment. Needs the extra `robosuite`."""
        from models.tasks.robosuite.plant import RobosuitePlant

        return RobosuitePlant(self.name)

    def make_success(self) -> EverSucceeded:
        """A new predicate for one episode."""
        return EverSucceeded()

    def observe(self, plant: RobosuitePlant, command: np.ndarray) -> dict[str, np.ndarray]:
        """One step of every feature, (7,) float32 each, while the reference is `command`."""
        return {
            "observation.state": plant.state.astype(np.float32),
            "observation.environment_state": plant.environment_state.astype(np.float32),
            "observation.command": np.asarray(command, dtype=np.float32),
        }

    def evaluation_rng(self, seed: int, episode: int = 0) -> np.random.Generator:
        """Randomness of an evaluation's episode, apart from every demonstration's."""
        return evaluation_rng(seed, episode)

    def demonstrator(self, rng: np.random.Generator) -> Demonstrator:
        """The expert as a policy for one episode; `rng` says which way it turns the hand."""
        from models.tasks.robosuite.demonstrations import Demonstrator

        return Demonstrator(self, rng)

    def generate(self, n: int, seed: int, workers: int = 1) -> Demonstrations:
        """Record n demonstrations; see `demonstrations.generate`."""
        from models.tasks.robosuite.demonstrations import generate

        return generate(self, n, seed, workers)
