"""One MetaWorld environment as a plant that follows absolute references of the hand.

The package's action is a step of the hand's goal, in [-1, 1] per axis of 1 cm, and an effort of
the fingers. Here a reference is the goal itself, x y z in m, and the effort: chunks of references
can be joined and limited as joint angles can, and a step is what leads from one to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.tasks.metaworld.names import PREFIX
from models.tasks.missing import MissingError

SIZE = 4
OPEN_EFFORT = -1.0


@dataclass(frozen=True)
class Bounds:
    """How far the hand's goal moves per unit of action, and where it may be, (3,) each, in m."""

    step_m: float
    low_m: np.ndarray
    high_m: np.ndarray

    def after(self, goal_m: np.ndarray, action: np.ndarray) -> np.ndarray:
        """The reference, (4,), that an action of the package, (4,), makes of a goal, (3,)."""
        moved = np.clip(goal_m + action[:3] * self.step_m, self.low_m, self.high_m)
        return np.append(moved, action[3])


class MetaWorldPlant:
    """The hand, its fingers and a scene; the scene is drawn at random at every reset."""

    def __init__(self, name: str) -> None:
        env_class = _environments(name)[f"{name.removeprefix(PREFIX)}-v3"]
        self._env: Any = env_class()
        # What the package's own benchmarks set: the goal is seen, scenes come from a seed.
        self._env._partially_observable = False
        del self._env.sawyer_observation_space  # cached, as it was with the goal hidden
        self._env._freeze_rand_vec, self._env.seeded_rand_vec = False, True
        self._env._set_task_called = True
        self.succeeded = False
        self.reset(np.random.default_rng(0))

    @property
    def home(self) -> np.ndarray:
        """The reference at which an episode begins, (4,): the hand's start, fingers open."""
        return np.append(self._env.hand_init_pos, OPEN_EFFORT)

    @property
    def bounds(self) -> Bounds:
        """What its references are limited to."""
        env = self._env
        return Bounds(env.action_scale, np.array(env.mocap_low), np.array(env.mocap_high))

    @property
    def goal(self) -> np.ndarray:
        """The reference that is in force, (3,) m."""
        return self._env.data.mocap_pos[0].copy()

    @property
    def state(self) -> np.ndarray:
        """Position of the hand, m, and opening of the fingers, 0 to 1, (4,)."""
        return self._observation[:SIZE].copy()

    @property
    def environment_state(self) -> np.ndarray:
        """Poses of two objects, x y z and quaternion, absent ones zero, and the goal, (17,)."""
        return np.concatenate([self._observation[SIZE:18], self._observation[36:39]])

    def reset(self, rng: np.random.Generator) -> None:
        """Rest the hand at its start in a scene drawn at random."""
        self._env.seed(int(rng.integers(2**31)))
        self._observation, _ = self._env.reset()
        self.succeeded = False

    def track(self, start: np.ndarray, end: np.ndarray) -> None:
        """Advance one step of 12.5 ms towards the reference `end`, (4,), at most 1 cm an axis.

        A step needs no `start`: the package applies its actions at once.
        """
        env = self._env
        delta = (end[:3] - self.goal) / env.action_scale
        action = np.clip(np.append(delta, end[3]), -1.0, 1.0)
        env.curr_path_length = 0  # how long an episode may be is the caller's affair
        self._observation, _, _, _, info = env.step(action)
        self.succeeded = bool(info["success"] > 0)


def _environments(name: str) -> Any:
    try:
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS
    except ImportError as error:
        raise MissingError(
            f"task {name!r} needs the extra 'metaworld': pip install 'oat-edge[metaworld]' "
            f"({error.name} is missing)"
        ) from error
    return ALL_V3_ENVIRONMENTS
