"""The lift task: where the arm starts, where the cube may lie, and when it counts as lifted."""

from typing import Protocol

import numpy as np

JOINT_NAMES = (
    "waist",
    "shoulder",
    "elbow",
    "forearm_roll",
    "wrist_angle",
    "wrist_rotate",
    "gripper",
)
RATE_HZ = 50
MAX_STEPS = 300
HOME_RAD = np.array([0.0, -0.55, 0.60, 0.0, 1.10, 0.0, 0.80])
HOME_RAD.setflags(write=False)

CUBE_HALF_SIZE_M = 0.02
CUBE_X_M = (0.26, 0.38)
CUBE_Y_M = (-0.15, 0.15)
CUBE_TURN_RAD = 0.35
"""The cube stands on edge towards the arm, turned by up to this: both its grasps are natural."""

LIFT_HEIGHT_M = 0.08
LIFT_TICKS = 10


class HasCube(Protocol):
    """What the success predicate needs of a plant."""

    @property
    def cube_height_m(self) -> float:
        """How far the cube is above its rest on the table, in m."""


def sample_cube_pose(rng: np.random.Generator) -> np.ndarray:
    """A pose at rest on the table: x, y, z in m and quaternion w, x, y, z, (7,)."""
    x_m, y_m = rng.uniform(*CUBE_X_M), rng.uniform(*CUBE_Y_M)
    yaw_rad = np.arctan2(y_m, x_m) + np.pi / 4 + rng.uniform(-CUBE_TURN_RAD, CUBE_TURN_RAD)
    quaternion = (np.cos(yaw_rad / 2), 0.0, 0.0, np.sin(yaw_rad / 2))
    return np.array([x_m, y_m, CUBE_HALF_SIZE_M, *quaternion])


class LiftSuccess:
    """The cube is above `height_m` for `LIFT_TICKS` consecutive ticks of 50 Hz."""

    def __init__(self, height_m: float = LIFT_HEIGHT_M) -> None:
        self._height_m, self._ticks = height_m, 0

    def update(self, plant: HasCube) -> bool:
        """Account for one tick; True from the tick on which the cube counts as lifted."""
        if self._ticks < LIFT_TICKS:
            self._ticks = self._ticks + 1 if plant.cube_height_m > self._height_m else 0
        return self._ticks >= LIFT_TICKS
