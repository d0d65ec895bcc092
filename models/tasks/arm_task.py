"""Tasks of an arm with position servos; nothing here imports the simulator before it must."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.tasks.seeds import evaluation_rng

if TYPE_CHECKING:
    from models.tasks.arm_plant import ArmPlant
    from models.tasks.demonstrations import Demonstrations
    from models.tasks.viperx.expert import Expert
    from models.tasks.viperx.expert_policy import ExpertPolicy
    from models.tasks.viperx.kinematics import Kinematics


@dataclass(frozen=True)
class Spread:
    """How far demonstrations stray, rad: at their start, (n,), and when shoved, (n - 1,)."""

    start_rad: tuple[float, ...]
    shove_rad: tuple[float, ...]


@dataclass(frozen=True)
class ArmTask(ABC):
    """What the tasks of arms share; joint arrays are (n,) in rad, the gripper's last."""

    name: str
    max_steps: int
    rate_hz: int
    joint_names: tuple[str, ...]
    home_rad: np.ndarray
    spread: Spread

    @abstractmethod
    def make_plant(self) -> Any:
        """A new simulated arm, table and scene. Needs the extra `sim`."""

    @abstractmethod
    def make_success(self) -> Any:
        """A new predicate for one episode."""

    @abstractmethod
    def make_kinematics(self) -> Kinematics:
        """Of the arm without its gripper. Needs the extra `sim`."""

    @abstractmethod
    def make_expert(self, kinematics: Kinematics, mode: int, rng: np.random.Generator) -> Expert:
        """An expert of a random style that approaches in one of the two modes."""

    @abstractmethod
    def is_done(self, plant: Any) -> bool:
        """Whether the task is done at this moment, however short it has been."""

    def misjudgement(self, rng: np.random.Generator) -> np.ndarray | None:
        """By how much a demonstrator first errs about the scene, (E,); None: not at all.

        Drawn once per demonstration; what it misleads to until it is noticed is left out of the
        labels. Without it nothing shows what to do with a cube that was carried somewhat astray.
        """
        return None

    def observe(self, plant: ArmPlant, command_rad: np.ndarray) -> dict[str, np.ndarray]:
        """One step of every feature, float32, while the arm is commanded `command_rad`."""
        return {
            "observation.state": plant.position_rad.astype(np.float32),
            "observation.environment_state": plant.environment_state.astype(np.float32),
            "observation.command": np.asarray(command_rad, dtype=np.float32),
        }

    def evaluation_rng(self, seed: int, episode: int = 0) -> np.random.Generator:
        """Randomness of an evaluation's episode, apart from every demonstration's."""
        return evaluation_rng(seed, episode)

    def demonstrator(self, rng: np.random.Generator) -> ExpertPolicy:
        """The expert as a policy for one episode; an action a call."""
        from models.tasks.viperx.expert_policy import ExpertPolicy

        return ExpertPolicy(self, rng)

    def generate(self, n: int, seed: int, workers: int = 1) -> Demonstrations:
        """Record n demonstrations; see `demonstrations.generate`."""
        from models.tasks.viperx.demonstrations import generate

        return generate(self, n, seed, workers)
