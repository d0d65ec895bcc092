"""The arm on a base with two driven wheels, in front of a table: one physics, two plants."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np

from models.tasks.viperx.lift import sample_cube_pose
from models.tasks.viperx.plant import ViperXPlant

WHEEL_NAMES = ("left_wheel", "right_wheel")
DOCKED = np.array([-0.12, 0.0, 0.0])
"""Pose x, y [m], yaw [rad] of the base, between its wheels, when the arm's frame is the world's."""

_AWAY_M, _AWAY_SPREAD_M, _SIDE_M, _YAW_RAD = -1.05, 0.1, 0.2, 0.25
_CUBE_SHRINK = 0.8  # of the region in which the cube may lie: docking is not exact
_CUBE_MIDDLE_M = np.array([0.32, 0.0])
_SETTLE_STEPS = 100
_STANDING_M = -0.26


class WheelPlant:
    """The wheels as a plant of their own, which the arm's plant carries along; arrays are (2,).

    A goal is neared evenly over the steps that are made at once: the axes move theirs on between.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        joints = [model.joint(name) for name in WHEEL_NAMES]
        self._q = np.array([int(joint.qposadr[0]) for joint in joints])
        self._v = np.array([int(joint.dofadr[0]) for joint in joints])
        self._actuators = np.array([model.actuator(name).id for name in WHEEL_NAMES])
        self._model, self._data = model, data
        self._gain = model.actuator_gainprm[self._actuators].copy()
        self._bias = model.actuator_biasprm[self._actuators].copy()
        self._goal = np.zeros(2)

    @property
    def timestep_s(self) -> float:
        """Physics step in s."""
        return float(self._model.opt.timestep)

    @property
    def position_rad(self) -> np.ndarray:
        """Angles of the wheels, rad, growing forwards."""
        return self._data.qpos[self._q]

    @property
    def velocity_rad_s(self) -> np.ndarray:
        """Their velocities, rad/s."""
        return self._data.qvel[self._v]

    @property
    def current_ma(self) -> np.ndarray:
        """Not modelled."""
        return np.full(2, np.nan)

    def set_goal(self, position_rad: np.ndarray) -> None:
        """What the drives turn the wheels to, rad."""
        self._goal[:] = position_rad

    def set_torque(self, enabled: np.ndarray) -> None:
        """Wheels without torque roll freely."""
        mask = np.asarray(enabled, dtype=bool)[:, None]
        self._model.actuator_gainprm[self._actuators] = self._gain * mask
        self._model.actuator_biasprm[self._actuators] = self._bias * mask

    def step(self, n: int = 1) -> None:
        """Nothing: the arm's plant steps both."""

    def near_goal(self, steps_left: int) -> None:
        """The drives' goals for the next step, of so many until the goal is to be reached."""
        ctrl = self._data.ctrl
        ctrl[self._actuators] += (self._goal - ctrl[self._actuators]) / steps_left

    def stand(self) -> None:
        """Make the wheels' angles their goals."""
        self._goal[:] = self._data.ctrl[self._actuators] = self.position_rad


class MobileViperXPlant(ViperXPlant):
    """A ``ViperXPlant`` whose base stands on wheels; ``base`` is the plant of those.

    Poses of the cube are in the frame of the arm's base, wherever that is, except in
    ``set_cube_pose``, which takes the world's: that of the arm's base at its dock.
    ``before_steps`` is called before steps of the physics with how long they are, in s.
    """

    SCENE = Path(__file__).with_name("mobile.xml")

    def __init__(self) -> None:
        self.before_steps: Callable[[float], None] = lambda seconds: None
        super().__init__()

    @property
    def cube_pose(self) -> np.ndarray:
        """Cube centre x, y, z in m and unit quaternion w, x, y, z (w >= 0), arm's frame, (7,)."""
        world = self._free_body_pose(self._cube_q)
        arm = self.data.body("base_link")
        position, quaternion, inverse = np.zeros(3), np.zeros(4), np.zeros(4)
        mujoco.mju_negQuat(inverse, arm.xquat)
        mujoco.mju_rotVecQuat(position, world[:3] - arm.xpos, inverse)
        mujoco.mju_mulQuat(quaternion, inverse, world[3:])
        return np.concatenate([position, quaternion if quaternion[0] >= 0 else -quaternion])

    @property
    def base_pose(self) -> np.ndarray:
        """Where the base is, between its wheels: x, y in m and yaw in rad, world's frame, (3,)."""
        x, y, _, qw, qx, qy, qz = self.data.qpos[self._base_q : self._base_q + 7]
        yaw = np.arctan2(2 * (qw * qz + qx * qy), 1 - 2 * (qy * qy + qz * qz))
        return np.array([x, y, yaw])

    def step(self, n: int = 1) -> None:
        """Advance by n physics steps of `timestep_s`."""
        self.before_steps(n * self.timestep_s)
        for left in range(n, 0, -1):
            self.base.near_goal(left)
            super().step(1)

    def place_cube(self, rng: np.random.Generator) -> None:
        """Lay the cube at rest in the middle of the region that the arm reaches from the dock."""
        pose = sample_cube_pose(rng)
        pose[:2] = _CUBE_MIDDLE_M + _CUBE_SHRINK * (pose[:2] - _CUBE_MIDDLE_M)
        self.set_cube_pose(pose)

    def set_base_pose(self, pose: np.ndarray) -> None:
        """Put the base at rest on the floor at x, y [m] and yaw [rad]."""
        half = pose[2] / 2
        body = [pose[0], pose[1], _STANDING_M, np.cos(half), 0.0, 0.0, np.sin(half)]
        self._set_free_body(self._base_q, self._base_v, np.array(body))
        self.base.stand()

    def place_base(self, rng: np.random.Generator) -> None:
        """Put the base somewhere in front of the table, about a metre away, and let it settle."""
        spread = np.array([_AWAY_SPREAD_M, _SIDE_M, _YAW_RAD])
        self.set_base_pose(np.array([_AWAY_M, 0.0, 0.0]) + rng.uniform(-1, 1, 3) * spread)
        self.step(_SETTLE_STEPS)

    def reset(self, rng: np.random.Generator, arm_rad: np.ndarray | None = None) -> None:
        """As `ViperXPlant.reset`, the base at its dock."""
        base = self.model.joint("base")
        self._base_q, self._base_v = int(base.qposadr[0]), int(base.dofadr[0])
        self.base = WheelPlant(self.model, self.data)
        super().reset(rng, arm_rad)
