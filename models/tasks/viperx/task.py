"""The lift as a `Task`; nothing here imports the simulator before a plant is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from models.tasks.seeds import evaluation_rng
from models.tasks.viperx.lift import HOME_RAD, JOINT_NAMES, MAX_STEPS, RATE_HZ, LiftSuccess

if TYPE_CHECKING:
    from models.tasks.viperx.demonstrations import Demonstrations
    from models.tasks.viperx.plant import ViperXPlant


@dataclass(frozen=True)
class ViperXLift:
    """A ViperX-300 S lifts a 4 cm cube from anywhere on the table in front of it."""

    name: str = "viperx-lift"
    rate_hz: int = RATE_HZ
    joint_names: tuple[str, ...] = JOINT_NAMES
    home_rad: np.ndarray = field(default_factory=HOME_RAD.copy)
    max_steps: int = MAX_STEPS

    def make_plant(self) -> ViperXPlant:
        """A new simulated arm, table and cube. Needs the extra `sim`."""
        from models.tasks.viperx.plant import ViperXPlant

        return ViperXPlant()

    def make_success(self) -> LiftSuccess:
        """A new predicate for one episode."""
        return LiftSuccess()

    def observe(self, plant: ViperXPlant, command_rad: np.ndarray) -> dict[str, np.ndarray]:
        """One step of every feature, (7,) float32, while the arm is commanded `command_rad`."""
        return {
            "observation.state": plant.position_rad.astype(np.float32),
            "observation.environment_state": plant.cube_pose.astype(np.float32),
            "observation.command": np.asarray(command_rad, dtype=np.float32),
        }

    def evaluation_rng(self, seed: int, episode: int = 0) -> np.random.Generator:
        """Randomness of an evaluation's episode, apart from every demonstration's."""
        return evaluation_rng(seed, episode)

    def generate(self, n: int, seed: int, workers: int = 1) -> Demonstrations:
        """Record n demonstrations; see `demonstrations.generate`."""
        from models.tasks.viperx.demonstrations import generate

        return generate(n, seed, workers)
