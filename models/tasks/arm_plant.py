"""An arm of position servos, a table and a cube, simulated with MuJoCo: what the plants share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import mujoco
import numpy as np

_POLICY_STEP_S = 0.02
_SETTLE_STEPS = 60


class ArmPlant(ABC):
    """Position servos, an arm and a cube. Not thread-safe; all arrays are copies.

    A goal is reached along a profile of limited velocity, as the servos' own firmware does. Arrays
    of joints, (n,), follow ``JOINT_NAMES``; the gripper's is the last.
    """

    JOINT_NAMES: ClassVar[tuple[str, ...]]
    HOME_RAD: ClassVar[np.ndarray]
    SCENE: ClassVar[Path]
    CUBE_HALF_SIZE_M: ClassVar[float]
    PROFILE_RAD_S: ClassVar[float]
    """Profile velocity of every servo."""
    NM_PER_A: ClassVar[np.ndarray]
    """Torque of each joint per ampere that its servo reports, (n,)."""

    def __init__(self) -> None:
        self.model = mujoco.MjModel.from_xml_path(str(self.SCENE))
        self.data = mujoco.MjData(self.model)
        self._n = len(self.JOINT_NAMES)
        joints = [self.model.joint(name) for name in self.JOINT_NAMES]
        # The servos' joints are consecutive in the file, in order: slices, not index arrays.
        first_q, first_v = int(joints[0].qposadr[0]), int(joints[0].dofadr[0])
        self._q = self.data.qpos[first_q : first_q + self._n]
        self._v = self.data.qvel[first_v : first_v + self._n]
        if [int(joint.qposadr[0]) for joint in joints] != list(range(first_q, first_q + self._n)):
            raise RuntimeError(f"{self.SCENE.name}: the servo joints are not consecutive")
        cube = self.model.joint("cube")
        self._cube_q, self._cube_v = int(cube.qposadr[0]), int(cube.dofadr[0])
        first = self.model.actuator(self.JOINT_NAMES[0]).id
        self._servos = slice(first, first + self._n)
        self._ctrl = self.data.ctrl[self._servos]
        self._gain = self.model.actuator_gainprm[self._servos].copy()
        self._bias = self.model.actuator_biasprm[self._servos].copy()
        self._range = self.model.actuator_ctrlrange[self._servos].copy()
        self._goal = np.zeros(self._n)
        self._has_torque = np.ones(self._n, dtype=bool)
        self._profile_step = np.full(self._n, self.PROFILE_RAD_S * self.timestep_s)
        self._way = np.zeros(self._n)
        self.reset(np.random.default_rng(0))

    @property
    def timestep_s(self) -> float:
        """Physics step in s."""
        return float(self.model.opt.timestep)

    @property
    def position_rad(self) -> np.ndarray:
        """Measured joint angles, (n,) float64, rad; the gripper's is its servo's."""
        return self._q.copy()

    @property
    def velocity_rad_s(self) -> np.ndarray:
        """Measured joint velocities, (n,) float64, rad/s."""
        return self._v.copy()

    @property
    def current_ma(self) -> np.ndarray:
        """Motor currents as the servos would report them, (n,) float64, mA, signed."""
        return self.data.actuator_force[self._servos] / self.NM_PER_A * 1e3

    @property
    def cube_pose(self) -> np.ndarray:
        """Cube centre x, y, z in m and unit quaternion w, x, y, z (w >= 0), base frame, (7,)."""
        return self._free_body_pose(self._cube_q)

    @property
    def environment_state(self) -> np.ndarray:
        """What a tracker reports of the scene, float64: here the cube's pose, (7,)."""
        return self.cube_pose

    @property
    def cube_height_m(self) -> float:
        """How far the cube's centre is above where it is when the cube lies flat on the table."""
        return float(self.data.qpos[self._cube_q + 2]) - self.CUBE_HALF_SIZE_M

    @property
    def has_torque(self) -> np.ndarray:
        """Which servos hold, (n,) bool."""
        return self._has_torque.copy()

    def set_goal(self, position_rad: np.ndarray) -> None:
        """Set the servos' goals, (n,) rad; each is clipped to its servo's range.

        Raises ValueError for a wrong shape or a value that is not finite; goals stay as they were.
        """
        goal = np.asarray(position_rad, dtype=np.float64)
        if goal.shape != (self._n,) or not np.isfinite(goal).all():
            raise ValueError(f"a goal is {self._n} finite angles in rad, got {position_rad!r}")
        np.clip(goal, self._range[:, 0], self._range[:, 1], out=self._goal)

    def set_torque(self, enabled: np.ndarray) -> None:
        """Switch servos on or off, (n,) bool; a servo that comes on holds where it is."""
        mask = np.asarray(enabled, dtype=bool)
        if mask.shape != (self._n,):
            raise ValueError(f"a torque mask has {self._n} entries, got shape {mask.shape}")
        rising = mask & ~self._has_torque
        self._goal[rising] = self._ctrl[rising] = self._q[rising]
        self.model.actuator_gainprm[self._servos] = self._gain * mask[:, None]
        self.model.actuator_biasprm[self._servos] = self._bias * mask[:, None]
        self._has_torque = mask.copy()

    def step(self, n: int = 1) -> None:
        """Advance by n physics steps of `timestep_s`."""
        ctrl, way, limit = self._ctrl, self._way, self._profile_step
        for _ in range(n):
            np.subtract(self._goal, ctrl, out=way)
            np.minimum(way, limit, out=way)
            np.maximum(way, -limit, out=way)
            ctrl += way
            mujoco.mj_step(self.model, self.data)

    def track(self, start_rad: np.ndarray, end_rad: np.ndarray) -> None:
        """Advance one policy step of 20 ms while the goal runs linearly from start to end, (n,)."""
        steps = round(_POLICY_STEP_S / self.timestep_s)
        for i in range(1, steps + 1):
            self.set_goal(start_rad + (end_rad - start_rad) * (i / steps))
            self.step()

    @abstractmethod
    def place_cube(self, rng: np.random.Generator) -> None:
        """Lay the scene out at random, at rest, in the task's region; the arm is untouched."""

    def set_cube_pose(self, pose: np.ndarray) -> None:
        """Put the cube at rest at x, y, z in m and quaternion w, x, y, z, (7,)."""
        self._set_free_body(self._cube_q, self._cube_v, pose)

    def reset(self, rng: np.random.Generator, arm_rad: np.ndarray | None = None) -> None:
        """Rest the arm at HOME (or at `arm_rad`), torque on, and lay the scene out at random."""
        mujoco.mj_resetData(self.model, self.data)
        self.set_torque(np.ones(self._n, dtype=bool))
        self.set_goal(self.HOME_RAD if arm_rad is None else arm_rad)
        self._ctrl[:] = self._goal
        self._pose(self._goal)
        self.place_cube(rng)
        self.step(_SETTLE_STEPS)

    def _pose(self, position_rad: np.ndarray) -> None:
        """Put the joints, and what they drive, where they shall be."""
        self._q[:] = position_rad

    def _free_body_pose(self, first_q: int) -> np.ndarray:
        """x, y, z in m and unit quaternion w, x, y, z (w >= 0) of a free joint, (7,)."""
        pose = self.data.qpos[first_q : first_q + 7].copy()
        if pose[3] < 0:
            pose[3:] *= -1
        return pose

    def _set_free_body(self, first_q: int, first_v: int, pose: np.ndarray) -> None:
        self.data.qpos[first_q : first_q + 7] = pose
        self.data.qvel[first_v : first_v + 6] = 0.0
        mujoco.mj_forward(self.model, self.data)
