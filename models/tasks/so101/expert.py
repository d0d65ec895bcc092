"""A scripted expert of the SO-101: the plan of the ViperX's, with this arm's reach and wrist."""

from __future__ import annotations

import numpy as np

from models.tasks.so101.lift import CUBE_HALF_SIZE_M, HOME_RAD, bearing_rad
from models.tasks.viperx.expert import (
    MODE_WRIST_RAD,
    Expert,
    Style,
    nearest_quarter_turn,
    yaw_rad,
)
from models.tasks.viperx.kinematics import grasp_rotation


def sample_style(rng: np.random.Generator) -> Style:
    """A demonstrator at random."""
    return Style(
        pace=rng.uniform(0.8, 1.0),
        clear_m=rng.uniform(0.040, 0.050),
        grasp_m=rng.uniform(-0.001, 0.003),
        lift_m=rng.uniform(0.060, 0.072),
        open_rad=rng.uniform(0.74, 0.86),
        closed_rad=rng.uniform(-0.06, 0.0),
        descend_steps=int(rng.integers(21, 28)),
        close_steps=int(rng.integers(27, 33)),
        lift_steps=int(rng.integers(25, 33)),
        hold_steps=int(rng.integers(12, 22)),
    )


class SO101Expert(Expert):
    """Grasps from straight above; joint arrays are (6,) in rad.

    The tool's y axis points from the fixed jaw to the moving one.
    """

    CUBE_HALF_SIZE_M = CUBE_HALF_SIZE_M

    def _grasp_at(self, cube: np.ndarray, height_m: float) -> np.ndarray:
        """Joint angles (5,) of this mode's grasp over the cube, tool at `height_m`."""
        bearing = bearing_rad(cube)
        wanted = bearing + MODE_WRIST_RAD[self._mode]
        yaw = nearest_quarter_turn(yaw_rad(cube[3:]), wanted)
        seed = np.array([-bearing, *HOME_RAD[1:4], yaw - bearing])
        goal = np.array([*cube[:2], height_m])
        return self._kinematics.solve(goal, grasp_rotation(yaw), seed)
