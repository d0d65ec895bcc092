"""The SO-101's lift: where the arm starts, where the cube may lie, and when it counts as lifted."""

import numpy as np

JOINT_NAMES = (
    "shoulder_pan",
    "shoulder_lift",
    "elbow_flex",
    "wrist_flex",
    "wrist_roll",
    "gripper",
)
RATE_HZ = 50
MAX_STEPS = 300
HOME_RAD = np.array([0.0, -0.27, 0.41, 1.43, 0.0, 0.80])
HOME_RAD.setflags(write=False)

PAN_AXIS_X_M = 0.0388
"""The arm turns about this point of its base frame, y = 0."""

CUBE_HALF_SIZE_M = 0.0125
CUBE_REACH_M = (0.15, 0.20)
CUBE_BEARING_RAD = 0.45
"""Where the cube may lie: its distance from the axis of shoulder_pan, and its angle there."""
CUBE_TURN_RAD = 0.30
"""The cube stands on edge towards the arm, turned by up to this: both its grasps are natural."""

LIFT_HEIGHT_M = 0.04


def bearing_rad(point_m: np.ndarray) -> float:
    """Angle of a point, (>= 2,) in the base frame, about the axis of shoulder_pan."""
    return float(np.arctan2(point_m[1], point_m[0] - PAN_AXIS_X_M))


def sample_cube_pose(rng: np.random.Generator) -> np.ndarray:
    """A pose at rest on the table: x, y, z in m and quaternion w, x, y, z, (7,)."""
    reach_m, bearing = rng.uniform(*CUBE_REACH_M), rng.uniform(-CUBE_BEARING_RAD, CUBE_BEARING_RAD)
    x_m, y_m = PAN_AXIS_X_M + reach_m * np.cos(bearing), reach_m * np.sin(bearing)
    half_yaw = (bearing + np.pi / 4 + rng.uniform(-CUBE_TURN_RAD, CUBE_TURN_RAD)) / 2
    return np.array([x_m, y_m, CUBE_HALF_SIZE_M, np.cos(half_yaw), 0.0, 0.0, np.sin(half_yaw)])
