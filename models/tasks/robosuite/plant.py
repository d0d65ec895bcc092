"""One robosuite environment as a plant that follows absolute references of the hand.

The package's operational-space controller takes poses of the hand in the world. A reference is
such a pose, x y z in m and a rotation vector in rad, and an effort of the fingers: -1 opens, 1
closes. The rotation counts from the hand that points straight down, turned to the middle of what
the arm can turn it: no task needs half a turn from there, so it never jumps where rotation vectors
wrap.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from models.tasks.missing import MissingError
from models.tasks.robosuite.names import RATE_HZ, Scene, scene_of

_HALF = np.sqrt(0.5)
LEVEL = np.array([[-_HALF, _HALF, 0.0], [_HALF, _HALF, 0.0], [0.0, 0.0, -1.0]])
"""The hand straight down with the arm's last joint in the middle of its range, seen from the base
straight ahead: what rotations count from."""

MAX_STEP = np.array([0.05, 0.05, 0.05, 0.5, 0.5, 0.5])
"""How far a reference moves in a step, m and rad: what the package's own relative actions may."""

_MODEL_SEED = 0
"""The package draws the size of the cube when it builds the scene; here it is always the same."""


class RobosuitePlant:
    """A Panda, its fingers and a scene; where the object lies is drawn at random at every reset."""

    def __init__(self, name: str) -> None:
        self._scene = scene_of(name)
        self._env: Any = _make(name, self._scene)
        self.goal = np.zeros(6)
        self.succeeded = False
        self.reset(np.random.default_rng(0))

    @property
    def state(self) -> np.ndarray:
        """Pose of the hand as a reference has it, and how far the fingers are apart, m, (7,)."""
        data, arm = self._env.sim.data, self._env.robots[0]
        rotation = data.site_xmat[arm.eef_site_id["right"]].reshape(3, 3)
        fingers = np.abs(data.qpos[arm._ref_gripper_joint_pos_indexes["right"]]).sum()
        return np.concatenate(
            [
                data.site_xpos[arm.eef_site_id["right"]],
                rotation_vector(rotation @ LEVEL.T),
                [fingers],
            ]
        )

    @property
    def environment_state(self) -> np.ndarray:
        """Pose of the object, x y z in m and quaternion w x y z with w >= 0, (7,)."""
        data = self._env.sim.data
        body = self._env.sim.model.body_name2id(f"{self._scene.item}_main")
        quaternion = data.body_xquat[body]
        return np.concatenate([data.body_xpos[body], quaternion * np.copysign(1, quaternion[0])])

    def reset(self, rng: np.random.Generator) -> None:
        """Rest the arm near its start in a scene drawn at random."""
        fresh = np.random.default_rng(int(rng.integers(2**31)))
        self._env.rng.bit_generator.state = fresh.bit_generator.state
        self._env.reset()
        self.goal, self.succeeded = self.state[:6], False

    def track(self, start: np.ndarray, end: np.ndarray) -> None:
        """Advance one step of 50 ms towards the reference `end`, (7,), by `MAX_STEP` at most.

        A step needs no `start`: what was in force is the plant's to know.
        """
        self.goal = self.goal + np.clip(end[:6] - self.goal, -MAX_STEP, MAX_STEP)
        whole = rotation_vector(rotation_matrix(self.goal[3:]) @ LEVEL)
        self._env.step(np.concatenate([self.goal[:3], whole, np.clip(end[6:], -1.0, 1.0)]))
        self.succeeded = bool(self._env._check_success())


def rotation_matrix(vector: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) in rad to a matrix (3, 3)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(vector).as_matrix()


def rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """Rotation matrix (3, 3) to its vector (3,) in rad, at most pi long."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(matrix).as_rotvec()


def _make(name: str, scene: Scene) -> Any:
    with _quiet():
        robosuite = _package(name)
        return robosuite.make(
            scene.environment,
            robots="Panda",
            controller_configs=_controller(robosuite),
            use_camera_obs=False,
            has_offscreen_renderer=False,
            control_freq=RATE_HZ,
            ignore_done=True,
            hard_reset=False,
            seed=_MODEL_SEED,
        )


def _controller(robosuite: Any) -> dict[str, Any]:
    """The Panda's own, but for poses in the world in place of steps."""
    config: dict[str, Any] = robosuite.load_composite_controller_config(robot="Panda")
    config["body_parts"]["right"] |= {"input_type": "absolute", "input_ref_frame": "world"}
    return config


def _package(name: str) -> Any:
    try:
        import robosuite
    except ImportError as error:
        raise MissingError(
            f"task {name!r} needs the extra 'robosuite' (Python 3.10 to 3.12): "
            f"pip install 'oat-edge[robosuite]' ({error.name} is missing)"
        ) from error
    return robosuite


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the package's advice on optional parts, which it logs as warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
