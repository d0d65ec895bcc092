"""The task of the SO-101; nothing here imports the simulator before a plant is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from models.tasks.arm_task import ArmTask, Spread
from models.tasks.so101.lift import HOME_RAD, JOINT_NAMES, LIFT_HEIGHT_M, MAX_STEPS, RATE_HZ
from models.tasks.viperx.lift import LiftSuccess

if TYPE_CHECKING:
    from models.tasks.so101.plant import SO101Plant
    from models.tasks.viperx.expert import Expert
    from models.tasks.viperx.kinematics import Kinematics

SPREAD = Spread(
    start_rad=(0.05, 0.04, 0.04, 0.04, 0.05, 0.06),
    shove_rad=(0.15, 0.10, 0.10, 0.12, 0.20),
)


@dataclass(frozen=True)
class SO101Lift(ArmTask):
    """An SO-101 lifts a 2.5 cm cube from anywhere in its reach; joint arrays are (6,) in rad."""

    name: str = "so101-lift"
    max_steps: int = MAX_STEPS
    rate_hz: int = RATE_HZ
    joint_names: tuple[str, ...] = JOINT_NAMES
    home_rad: np.ndarray = field(default_factory=HOME_RAD.copy)
    spread: Spread = SPREAD

    def make_plant(self) -> SO101Plant:
        """The arm and a cube."""
        from models.tasks.so101.plant import SO101Plant

        return SO101Plant()

    def make_success(self) -> LiftSuccess:
        """The cube is aloft for a while."""
        return LiftSuccess(LIFT_HEIGHT_M)

    def make_kinematics(self) -> Kinematics:
        """The five joints before the gripper."""
        from models.tasks.so101.plant import MODEL_PATH
        from models.tasks.viperx.kinematics import Kinematics

        return Kinematics(MODEL_PATH, len(JOINT_NAMES) - 1)

    def make_expert(self, kinematics: Kinematics, mode: int, rng: np.random.Generator) -> Expert:
        """One that lifts."""
        from models.tasks.so101.expert import SO101Expert, sample_style

        return SO101Expert(kinematics, mode, sample_style(rng))

    def is_done(self, plant: SO101Plant) -> bool:
        """Whether the cube is aloft."""
        return plant.cube_height_m > LIFT_HEIGHT_M
