"""The SO-101: its kinematics against the published offsets, its lift, and who may drive it."""

from __future__ import annotations

import numpy as np
import pytest

from edge.commands.plant_lines import check_emulation
from edge.errors import UsageError
from edge.robot import Robot, load_robot
from models.recipes import get_recipe
from models.tasks import get_task
from models.tasks.demonstrations import Demonstrations
from models.tasks.so101.expert import SO101Expert, sample_style
from models.tasks.so101.lift import HOME_RAD, LIFT_HEIGHT_M, PAN_AXIS_X_M, sample_cube_pose
from models.tasks.so101.plant import SO101Plant
from models.tasks.viperx.expert import MODES
from models.tasks.viperx.kinematics import grasp_rotation
from models.tasks.viperx.lift import LiftSuccess

TASK = get_task("so101-lift")
KINEMATICS = TASK.make_kinematics()  # type: ignore[attr-defined]
TOOL_M = (0.0880, 0.0086)  # along and across the gripper, from the axis of wrist_roll


@pytest.fixture(scope="module")
def demonstrations() -> Demonstrations:
    return TASK.generate(12, seed=5)  # type: ignore[no-any-return]


def run_expert(seed: int, mode: int) -> tuple[bool, np.ndarray, SO101Plant]:
    """Whether the expert lifts, its references (T, 6), and the plant as it ends."""
    plant, rng = SO101Plant(), np.random.default_rng(seed)
    plant.reset(rng)
    plan = SO101Expert(KINEMATICS, mode, sample_style(rng)).plan(
        plant.position_rad, HOME_RAD, plant.cube_pose
    )
    success, command, lifted = LiftSuccess(LIFT_HEIGHT_M), HOME_RAD, False
    for reference in plan.reference_rad:
        plant.track(command, reference)
        command, lifted = reference, success.update(plant)
    return lifted, plan.reference_rad, plant


def runs(seed: int) -> list[tuple[bool, np.ndarray, SO101Plant]]:
    return [run_expert(seed, mode) for mode in MODES]


def test_the_tool_at_zero_is_where_the_published_offsets_add_up() -> None:
    position, _ = KINEMATICS.tool_pose(np.zeros(5))
    forward_m = 0.0388 + 0.0304 + 0.0280 + 0.1349 + 0.0611 + TOOL_M[0]
    up_m = 0.0624 + 0.0542 + 0.1126 + 0.0052 + TOOL_M[1]
    np.testing.assert_allclose(position, [forward_m, -0.0183 + 0.0181, up_m], atol=1e-9)


@pytest.mark.parametrize(
    ("joint", "axis", "through_m"),
    [
        (0, (0.0, 0.0, -1.0), (0.0388, 0.0, 0.0624)),
        (1, (0.0, 1.0, 0.0), (0.0692, -0.0183, 0.1166)),
        (2, (0.0, 1.0, 0.0), (0.0972, -0.0183, 0.2292)),
        (3, (0.0, 1.0, 0.0), (0.2321, -0.0183, 0.2344)),
        (4, (-1.0, 0.0, 0.0), (0.2932, -0.0002, 0.2344)),
    ],
)
def test_each_joint_turns_the_tool_about_its_published_axis(
    joint: int, axis: tuple[float, ...], through_m: tuple[float, ...]
) -> None:
    start, start_rotation = KINEMATICS.tool_pose(np.zeros(5))
    turned, rotation = KINEMATICS.tool_pose(np.eye(5)[joint] * np.pi / 2)
    direction = np.array(axis)
    arm = start - np.array(through_m)
    expected = np.cross(direction, arm) + direction * (direction @ arm)  # a quarter turn
    np.testing.assert_allclose(turned - np.array(through_m), expected, atol=1e-9)
    np.testing.assert_allclose(rotation @ start_rotation.T @ direction, direction, atol=1e-9)


def test_at_home_the_open_gripper_points_down() -> None:
    position, rotation = KINEMATICS.tool_pose(HOME_RAD)
    np.testing.assert_allclose(rotation, grasp_rotation(0.0), atol=0.01)
    assert position[0] == pytest.approx(PAN_AXIS_X_M + 0.17, abs=0.005)


def test_the_jaw_opens_with_a_growing_angle() -> None:
    plant, gap_m = SO101Plant(), []
    for angle in (0.0, 0.4, 1.2):
        plant.reset(np.random.default_rng(0), np.append(HOME_RAD[:-1], angle))
        moving, fixed = (plant.data.geom(f"{jaw}_pad").xpos for jaw in ("moving", "fixed"))
        gap_m.append(float(np.linalg.norm(moving - fixed)))
    assert gap_m == sorted(gap_m)


def test_the_jaw_stalls_on_the_cube_with_pads_that_stand_parallel() -> None:
    _, reference, plant = run_expert(3, 0)
    assert plant.position_rad[-1] > reference[-1, -1] + 0.1
    moving, fixed = (plant.data.geom(f"{jaw}_pad").xmat for jaw in ("moving", "fixed"))
    np.testing.assert_allclose(moving, fixed, atol=0.05)


@pytest.mark.parametrize("mode", MODES)
def test_the_expert_lifts_the_cube_wherever_it_lies(mode: int) -> None:
    assert [seed for seed in range(12) if not run_expert(seed, mode)[0]] == []


def test_the_two_grasps_of_one_cube_differ_by_a_quarter_turn_of_the_wrist() -> None:
    for seed in range(4):
        yaws = [reference[-1, 4] - reference[-1, 0] for _, reference, _ in runs(seed)]
        assert yaws[0] - yaws[1] == pytest.approx(np.pi / 2, abs=0.02)


def test_the_cube_lies_within_reach_of_the_lift_and_turned_edge_on() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        x_m, y_m, z_m = sample_cube_pose(rng)[:3]
        assert 0.15 <= np.hypot(x_m - PAN_AXIS_X_M, y_m) <= 0.20
        assert z_m == 0.0125


def test_demonstrations_end_aloft_and_mostly_succeed_at_once(
    demonstrations: Demonstrations,
) -> None:
    ends = np.append(demonstrations.episode_start[1:], len(demonstrations.mask)) - 1
    assert (demonstrations.environment_state[ends, 2] > LIFT_HEIGHT_M).all()
    assert demonstrations.success_rate > 0.9
    assert set(demonstrations.mode.tolist()) == set(MODES)
    assert demonstrations.state.shape[1] == demonstrations.action.shape[1] == 6


def test_the_recipe_and_the_robot_name_the_same_joints_in_the_same_order() -> None:
    robot = load_robot("so101")
    names = tuple(joint.name for joint in robot.joints)
    assert names == TASK.joint_names == get_recipe("so101-lift").action.names
    assert [joint.home_rad for joint in robot.joints] == HOME_RAD.tolist()


def test_the_robots_position_limits_are_those_of_its_plant() -> None:
    robot, model = load_robot("so101"), SO101Plant().model
    for joint in robot.joints:
        limits = robot.joint_limits[joint.name]
        found = model.joint(joint.name).range
        assert [limits.min_position, limits.max_position] == found.tolist()


def refused(robot: Robot) -> str:
    with pytest.raises(UsageError) as refusal:
        check_emulation(robot)
    return str(refusal.value)


def test_a_plant_of_another_arm_is_refused_by_its_joints() -> None:
    check_emulation(load_robot("so101"))
    other = load_robot("so101").model_copy(update={"plant": "viperx-lift"})
    assert "plant is 'viperx-lift', but robot so101 has the joints shoulder_pan" in refused(other)


def test_dynamixel_servos_are_not_emulated_in_front_of_the_so101() -> None:
    robot = load_robot("so101")
    bus = robot.buses["arm"].model_copy(update={"protocol": "dynamixel"})
    text = refused(robot.model_copy(update={"buses": {"arm": bus}}))
    assert text.startswith("buses.arm.protocol is dynamixel") and text.endswith("feetech there")
