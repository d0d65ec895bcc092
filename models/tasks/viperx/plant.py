"""The ViperX, its table and a cube."""

from pathlib import Path

import numpy as np

from models.tasks.arm_plant import ArmPlant
from models.tasks.viperx.crank_slider import half_opening_m
from models.tasks.viperx.lift import CUBE_HALF_SIZE_M, HOME_RAD, JOINT_NAMES, sample_cube_pose

MODEL_PATH = Path(__file__).with_name("vx300s.xml")
_FINGERS = ("left_finger", "right_finger")

MAX_VELOCITY_RAD_S = np.pi
"""Profile velocity of every servo; the vendor's URDF allows pi rad/s for all joints."""

# Stall torque / stall current at 12 V (Robotis: XM540-W270 10.6 Nm / 4.4 A, XM430-W350
# 4.1 Nm / 2.3 A). Shoulder and elbow share the torque between two servos; one of them reports.
_XM540_NM_PER_A, _XM430_NM_PER_A = 10.6 / 4.4, 4.1 / 2.3
_NM_PER_A = np.array([1, 2, 2, 1, 1, 0, 0]) * _XM540_NM_PER_A
_NM_PER_A[5:] = _XM430_NM_PER_A


class ViperXPlant(ArmPlant):
    """Seven servos; the gripper's drives two fingers by a crank."""

    JOINT_NAMES = JOINT_NAMES
    HOME_RAD = HOME_RAD
    SCENE = MODEL_PATH
    CUBE_HALF_SIZE_M = CUBE_HALF_SIZE_M
    PROFILE_RAD_S = MAX_VELOCITY_RAD_S
    NM_PER_A = _NM_PER_A

    def place_cube(self, rng: np.random.Generator) -> None:
        """Lay the scene out at random, at rest, in the task's region; the arm is untouched."""
        self.set_cube_pose(sample_cube_pose(rng))

    def _pose(self, position_rad: np.ndarray) -> None:
        super()._pose(position_rad)
        addresses = [int(self.model.joint(name).qposadr[0]) for name in _FINGERS]
        self.data.qpos[addresses] = half_opening_m(float(position_rad[-1]))
