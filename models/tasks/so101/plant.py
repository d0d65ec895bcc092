"""The SO-101, its table and a cube."""

from pathlib import Path

import numpy as np

from models.tasks.arm_plant import ArmPlant
from models.tasks.so101.lift import CUBE_HALF_SIZE_M, HOME_RAD, JOINT_NAMES, sample_cube_pose

MODEL_PATH = Path(__file__).with_name("so101.xml")

# Feetech STS3215 at 7.4 V: 1.9 Nm at a stall current of 2.4 A, 45 turns a minute without a load.
_NM_PER_A = 1.9 / 2.4
_MAX_VELOCITY_RAD_S = 4.7


class SO101Plant(ArmPlant):
    """Six servos; the last one turns the moving jaw."""

    JOINT_NAMES = JOINT_NAMES
    HOME_RAD = HOME_RAD
    SCENE = MODEL_PATH
    CUBE_HALF_SIZE_M = CUBE_HALF_SIZE_M
    PROFILE_RAD_S = _MAX_VELOCITY_RAD_S
    NM_PER_A = np.full(len(JOINT_NAMES), _NM_PER_A)

    def place_cube(self, rng: np.random.Generator) -> None:
        """Lay the cube at rest in the task's region; the arm is untouched."""
        self.set_cube_pose(sample_cube_pose(rng))
