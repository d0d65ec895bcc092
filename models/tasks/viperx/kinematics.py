"""Forward and inverse kinematics of an arm's joints, on its plant's own model."""

from pathlib import Path

import mujoco
import numpy as np

from models.tasks.viperx.plant import MODEL_PATH

ARM_JOINTS = 6
TOOL_POSITION_TOLERANCE_M = 2e-4
TOOL_ANGLE_TOLERANCE_RAD = 2e-3
_DAMPING = 2e-3
_MAX_ITERATIONS = 60
_MAX_STEP_RAD = 0.3


class UnreachableError(ValueError):
    """No joint angles near the seed bring the tool to the wanted pose."""


def grasp_rotation(yaw_rad: float) -> np.ndarray:
    """Rotation of a tool that points straight down, fingers moving along `yaw_rad`, (3, 3)."""
    down = np.array([0.0, 0.0, -1.0])
    fingers = np.array([np.cos(yaw_rad), np.sin(yaw_rad), 0.0])
    return np.stack([down, fingers, np.cross(down, fingers)], axis=1)


class Kinematics:
    """The tool is the point between the finger pads: x along the gripper, y along the fingers."""

    def __init__(self, model_path: Path = MODEL_PATH, arm_joints: int = ARM_JOINTS) -> None:
        """For the first joints of a model that has a site named ``tool``."""
        self._model = mujoco.MjModel.from_xml_path(str(model_path))
        self._joints = arm_joints
        self._data = mujoco.MjData(self._model)
        self._site = self._model.site("tool").id
        self._range = self._model.jnt_range[:arm_joints]
        self._jacobian = np.zeros((6, self._model.nv))

    def tool_pose(self, arm_rad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position in m, (3,), and rotation, (3, 3), of the tool at joint angles (>= n,) in rad."""
        self._data.qpos[: self._joints] = arm_rad[: self._joints]
        mujoco.mj_kinematics(self._model, self._data)
        site = self._data.site(self._site)
        return site.xpos.copy(), site.xmat.reshape(3, 3).copy()

    def solve(self, position_m: np.ndarray, rotation: np.ndarray, seed: np.ndarray) -> np.ndarray:
        """Joint angles, (n,) rad, within the joints' ranges, that bring the tool to a pose.

        Damped least squares from `seed` (>= n,); the answer lies in the seed's branch. Raises
        UnreachableError when it does not come within the tolerances.
        """
        arm = np.clip(seed[: self._joints], self._range[:, 0], self._range[:, 1])
        for _ in range(_MAX_ITERATIONS):
            error = self._error(arm, position_m, rotation)
            if _within_tolerance(error):
                return arm
            step = self._damped_step(error)
            arm = np.clip(arm + step, self._range[:, 0], self._range[:, 1])
        raise UnreachableError(f"the tool cannot reach {np.round(position_m, 3).tolist()} m so")

    def _error(self, arm: np.ndarray, position_m: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        """Translation in m and rotation vector in rad from the tool to the goal, (6,)."""
        position, current = self.tool_pose(arm)
        return np.concatenate([position_m - position, _rotation_vector(rotation @ current.T)])

    def _damped_step(self, error: np.ndarray) -> np.ndarray:
        mujoco.mj_comPos(self._model, self._data)
        jacobian = self._jacobian
        mujoco.mj_jacSite(self._model, self._data, jacobian[:3], jacobian[3:], self._site)
        arm_jacobian = jacobian[:, : self._joints]
        square = arm_jacobian @ arm_jacobian.T + _DAMPING**2 * np.eye(6)
        step = arm_jacobian.T @ np.linalg.solve(square, error)
        return step * min(1.0, _MAX_STEP_RAD / max(1e-9, np.abs(step).max()))


def _within_tolerance(error: np.ndarray) -> bool:
    return bool(
        np.linalg.norm(error[:3]) < TOOL_POSITION_TOLERANCE_M
        and np.linalg.norm(error[3:]) < TOOL_ANGLE_TOLERANCE_RAD
    )


def _rotation_vector(rotation: np.ndarray) -> np.ndarray:
    """Axis times angle of a rotation matrix, (3,) rad (angles below pi)."""
    axis = 0.5 * np.array(
        [
            rotation[2, 1] - rotation[1, 2],
            rotation[0, 2] - rotation[2, 0],
            rotation[1, 0] - rotation[0, 1],
        ]
    )
    sine, cosine = np.linalg.norm(axis), 0.5 * (np.trace(rotation) - 1.0)
    angle = np.arctan2(sine, cosine)
    return axis * (angle / sine) if sine > 1e-9 else axis
