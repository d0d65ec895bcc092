"""A task's scripted expert as a policy in closed loop: what a demonstrator without noise does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.tasks.viperx.expert import MODES, Plan
from models.tasks.viperx.kinematics import UnreachableError

if TYPE_CHECKING:
    from models.tasks.arm_task import ArmTask

DROPPED_M = 0.035
"""A cube further from the tool than this is not held."""
_SETTLED_STEPS = 8


class ExpertPolicy:
    """Plans at the first step, and again where the cube was dropped or the plan is used up.

    Mode and style are drawn at random, as in the demonstrations. One object, one episode; each call
    is one policy step and gives one action.
    """

    def __init__(self, task: ArmTask, rng: np.random.Generator) -> None:
        mode = int(rng.choice(MODES))
        self._expert = task.make_expert(task.make_kinematics(), mode, rng)
        self._plan: Plan | None = None
        self._step = 0

    def __call__(self, observations: dict[str, np.ndarray]) -> np.ndarray:
        """From features, (n_obs_steps, dim) each, to the next reference, (1, n) rad.

        A cube out of reach is given up: the arm stays where it is.
        """
        position, command, scene = (
            observations[f"observation.{key}"][-1].astype(np.float64)
            for key in ("state", "command", "environment_state")
        )
        if self._plan is None or self._is_over(self._plan, position, scene):
            try:
                self._plan, self._step = self._expert.plan(position, command, scene), 0
            except UnreachableError:
                return command[None]
        reference = self._plan.reference_rad[self._step]
        self._step += 1
        return reference[None]

    def _is_over(self, plan: Plan, position: np.ndarray, scene: np.ndarray) -> bool:
        if self._step >= len(plan.reference_rad):
            return True
        if not plan.lift_step + _SETTLED_STEPS <= self._step < plan.release_step:
            return False
        return self._expert.tool_to_cube_m(position, scene) > DROPPED_M
