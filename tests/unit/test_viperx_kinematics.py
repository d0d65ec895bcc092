"""Forward and inverse kinematics against the published offsets and each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.tasks.viperx.kinematics import (
    TOOL_ANGLE_TOLERANCE_RAD,
    TOOL_POSITION_TOLERANCE_M,
    Kinematics,
    UnreachableError,
    grasp_rotation,
)

KINEMATICS = Kinematics()
UPRIGHT = np.zeros(6)


def test_the_tool_at_zero_is_where_the_published_offsets_add_up() -> None:
    position, rotation = KINEMATICS.tool_pose(UPRIGHT)
    forward_m = 0.05955 + 0.2 + 0.1 + 0.069744 + 0.1072
    up_m = 0.079 + 0.04805 + 0.3
    np.testing.assert_allclose(position, [forward_m, 0.0, up_m], atol=1e-9)
    np.testing.assert_allclose(rotation, np.eye(3), atol=1e-9)


def test_the_waist_turns_the_tool_about_the_base() -> None:
    position, _ = KINEMATICS.tool_pose(np.array([np.pi / 2, 0, 0, 0, 0, 0]))
    np.testing.assert_allclose(position, [0.0, 0.536494, 0.42705], atol=1e-9)


def test_a_positive_elbow_lowers_the_forearm() -> None:
    position, _ = KINEMATICS.tool_pose(np.array([0, 0, np.pi / 2, 0, 0, 0]))
    np.testing.assert_allclose(position, [0.05955, 0.0, 0.42705 - 0.476944], atol=1e-9)


def test_a_forearm_rolled_half_round_bends_the_wrist_the_other_way() -> None:
    up, _ = KINEMATICS.tool_pose(np.array([0, 0, 0, np.pi, 0.5, 0]))
    down, _ = KINEMATICS.tool_pose(np.array([0, 0, 0, 0, 0.5, 0]))
    assert up[2] - 0.42705 == pytest.approx(0.42705 - down[2])
    assert up[2] > down[2]


def test_a_grasp_points_down_with_the_fingers_along_its_yaw() -> None:
    rotation = grasp_rotation(0.3)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    np.testing.assert_allclose(rotation[:, 0], [0, 0, -1])
    np.testing.assert_allclose(rotation[:, 1], [np.cos(0.3), np.sin(0.3), 0])


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(
        st.floats(-1.0, 1.0),
        st.floats(-0.6, 0.5),
        st.floats(0.0, 1.0),
        st.floats(-0.4, 0.4),
        st.floats(0.4, 1.5),
        st.floats(-1.4, 1.4),
    ),
    st.integers(0, 2**31),
)
def test_a_solution_from_a_near_seed_is_the_pose_and_stays_in_the_branch(arm, seed) -> None:
    wanted = np.array(arm)
    position, rotation = KINEMATICS.tool_pose(wanted)
    start = wanted + np.random.default_rng(seed).uniform(-0.15, 0.15, 6)
    solved = KINEMATICS.solve(position, rotation, start)
    reached, turned = KINEMATICS.tool_pose(solved)
    assert np.linalg.norm(reached - position) < TOOL_POSITION_TOLERANCE_M
    assert np.arccos(min(1.0, (np.trace(turned @ rotation.T) - 1) / 2)) < (
        1.01 * TOOL_ANGLE_TOLERANCE_RAD
    )
    assert np.abs(solved - wanted).max() < 0.05


def test_a_point_out_of_reach_is_refused_with_its_coordinates() -> None:
    with pytest.raises(UnreachableError, match=r"0\.9"):
        KINEMATICS.solve(np.array([0.9, 0.0, 0.1]), grasp_rotation(0.0), UPRIGHT)
