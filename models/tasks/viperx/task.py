"""Tasks of the ViperX; nothing here imports the simulator before a plant is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from models.tasks.arm_task import ArmTask, Spread
from models.tasks.viperx import placing
from models.tasks.viperx.lift import (
    HOME_RAD,
    JOINT_NAMES,
    LIFT_HEIGHT_M,
    MAX_STEPS,
    RATE_HZ,
    LiftSuccess,
)

if TYPE_CHECKING:
    from models.tasks.viperx.expert import Expert
    from models.tasks.viperx.kinematics import Kinematics
    from models.tasks.viperx.plant import ViperXPlant


SPREAD = Spread(
    start_rad=(0.05, 0.04, 0.04, 0.02, 0.05, 0.05, 0.06),
    shove_rad=(0.15, 0.10, 0.10, 0.06, 0.15, 0.20),
)

PLACING_SPREAD = replace(SPREAD, shove_rad=(*SPREAD.shove_rad[:-1], 0.50))
"""The wrist is turned into anything between the two grasps: a cube held askew is never placed."""


@dataclass(frozen=True)
class ViperXTask(ArmTask):
    """What the ViperX's tasks share; joint arrays are (7,) in rad."""

    rate_hz: int = RATE_HZ
    joint_names: tuple[str, ...] = JOINT_NAMES
    home_rad: np.ndarray = field(default_factory=HOME_RAD.copy)
    spread: Spread = SPREAD

    def make_kinematics(self) -> Kinematics:
        """The arm's."""
        from models.tasks.viperx.kinematics import Kinematics

        return Kinematics()


@dataclass(frozen=True)
class ViperXLift(ViperXTask):
    """A ViperX-300 S lifts a 4 cm cube from anywhere on the table in front of it."""

    name: str = "viperx-lift"
    max_steps: int = MAX_STEPS

    def make_plant(self) -> ViperXPlant:
        """The arm and a cube."""
        from models.tasks.viperx.plant import ViperXPlant

        return ViperXPlant()

    def make_success(self) -> LiftSuccess:
        """The cube is aloft for a while."""
        return LiftSuccess()

    def make_expert(self, kinematics: Kinematics, mode: int, rng: np.random.Generator) -> Expert:
        """One that lifts."""
        from models.tasks.viperx.expert import Expert, Style

        return Expert(kinematics, mode, Style.sample(rng))

    def is_done(self, plant: ViperXPlant) -> bool:
        """Whether the cube is aloft."""
        return plant.cube_height_m > LIFT_HEIGHT_M


@dataclass(frozen=True)
class _ViperXPlacing(ViperXTask):
    """The cube is put somewhere and let go."""

    max_steps: int = placing.MAX_STEPS
    spread: Spread = PLACING_SPREAD
    tolerance_m: float = 0.0
    scene_size: int = 0

    def make_success(self) -> placing.PlacingSuccess:
        """The cube rests where it should, let go."""
        return placing.PlacingSuccess(self.tolerance_m)

    def misjudgement(self, rng: np.random.Generator) -> np.ndarray | None:
        """Of the thing that the cube is put on, in half of the demonstrations."""
        return placing.sample_misjudgement_m(rng, self.scene_size)

    def is_done(self, plant: placing.HasPlacement) -> bool:
        """Whether the cube rests where it should, let go."""
        return placing.is_placed(plant.placement, self.tolerance_m)

    def _expert(
        self,
        kinematics: Kinematics,
        mode: int,
        rng: np.random.Generator,
        rest_m: Callable[[np.ndarray], np.ndarray],
    ) -> Expert:
        from models.tasks.viperx.expert import Style
        from models.tasks.viperx.placing_expert import PlacingExpert, PlacingStyle

        style = Style.sample(rng)
        return PlacingExpert(kinematics, mode, style, PlacingStyle.sample(rng), rest_m)


@dataclass(frozen=True)
class ViperXPickPlace(_ViperXPlacing):
    """The cube into the middle of a tray that may stand anywhere in reach, within 2 cm."""

    name: str = "viperx-pick-place"
    tolerance_m: float = 0.020
    scene_size: int = 9

    def make_plant(self) -> Any:
        """The arm, a cube and a tray."""
        from models.tasks.viperx.placing_plants import PickPlacePlant

        return PickPlacePlant()

    def make_expert(self, kinematics: Kinematics, mode: int, rng: np.random.Generator) -> Expert:
        """One that puts the cube into the tray."""
        return self._expert(kinematics, mode, rng, placing.rest_in_tray_m)


@dataclass(frozen=True)
class ViperXStack(_ViperXPlacing):
    """One cube onto another, its centre within 1.5 cm of the other's."""

    name: str = "viperx-stack"
    tolerance_m: float = 0.015
    scene_size: int = 14

    def make_plant(self) -> Any:
        """The arm and two cubes."""
        from models.tasks.viperx.placing_plants import StackPlant

        return StackPlant()

    def make_expert(self, kinematics: Kinematics, mode: int, rng: np.random.Generator) -> Expert:
        """One that puts a cube on the other."""
        return self._expert(kinematics, mode, rng, placing.rest_on_cube_m)
