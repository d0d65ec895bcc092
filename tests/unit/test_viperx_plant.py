"""The simulated ViperX: geometry, gripper, servos."""

import mujoco
import numpy as np
import pytest

from models.tasks.viperx.crank_slider import (
    CLOSED_RAD,
    HORN_RADIUS_M,
    OPEN_RAD,
    ROD_LENGTH_M,
    half_opening_m,
    servo_angle_rad,
)
from models.tasks.viperx.lift import CUBE_X_M, CUBE_Y_M, HOME_RAD, JOINT_NAMES
from models.tasks.viperx.plant import MAX_VELOCITY_RAD_S, MODEL_PATH, ViperXPlant

ALL_ON = np.ones(7, dtype=bool)


@pytest.fixture
def plant() -> ViperXPlant:
    return ViperXPlant()


def test_the_file_has_the_published_ranges_of_the_joints() -> None:
    model = mujoco.MjModel.from_xml_path(str(MODEL_PATH))
    published = {
        "waist": (-3.14158, 3.14158),
        "shoulder": (-1.85005, 1.25664),
        "elbow": (-1.76278, 1.6057),
        "forearm_roll": (-3.14158, 3.14158),
        "wrist_angle": (-1.8675, 2.23402),
        "wrist_rotate": (-3.14158, 3.14158),
    }
    for name, limits in published.items():
        assert tuple(model.joint(name).range) == limits
        assert tuple(model.actuator(name).ctrlrange) == limits


def test_the_crank_lands_on_the_openings_that_aloha_publishes_for_its_angles() -> None:
    assert half_opening_m(-0.6213) == pytest.approx(0.01844, abs=2e-4)
    assert half_opening_m(1.4910) == pytest.approx(0.05800, abs=2e-4)


def test_a_horn_in_line_with_the_rail_adds_its_length_to_the_rod() -> None:
    assert half_opening_m(np.pi / 2) == pytest.approx(HORN_RADIUS_M + ROD_LENGTH_M)
    assert half_opening_m(0.0) == pytest.approx(np.sqrt(ROD_LENGTH_M**2 - HORN_RADIUS_M**2))


@pytest.mark.parametrize("angle", np.linspace(CLOSED_RAD, OPEN_RAD, 9))
def test_the_crank_slider_and_its_inverse_agree(angle: float) -> None:
    assert servo_angle_rad(half_opening_m(angle)) == pytest.approx(angle, abs=1e-9)


def test_an_opening_out_of_the_cranks_reach_is_refused_with_its_value() -> None:
    with pytest.raises(ValueError, match=r"0\.0600 m"):
        servo_angle_rad(0.060)


def test_the_models_quartic_is_the_crank_slider_to_a_quarter_millimetre() -> None:
    model = mujoco.MjModel.from_xml_path(str(MODEL_PATH))
    angles = np.linspace(CLOSED_RAD, OPEN_RAD, 50)
    exact = [half_opening_m(angle) for angle in angles]
    for name in ("left_crank", "right_crank"):
        quartic = np.polyval(model.equality(name).data[:5][::-1], angles)
        np.testing.assert_allclose(quartic, exact, atol=2.5e-4)


def test_both_fingers_follow_the_servo_together(plant: ViperXPlant) -> None:
    goal = HOME_RAD.copy()
    for angle in (-0.3, 0.2, 1.2):
        goal[-1] = angle
        plant.set_goal(goal)
        plant.step(500)
        fingers = [plant.data.joint(name).qpos[0] for name in ("left_finger", "right_finger")]
        np.testing.assert_allclose(fingers, half_opening_m(plant.position_rad[-1]), atol=5e-4)
        assert plant.position_rad[-1] == pytest.approx(angle, abs=0.02)


def test_the_arm_rests_at_home_after_a_reset_with_little_sag(plant: ViperXPlant) -> None:
    plant.step(500)
    np.testing.assert_allclose(plant.position_rad, HOME_RAD, atol=0.015)
    assert np.abs(plant.velocity_rad_s).max() < 1e-3


def test_a_step_in_the_goal_is_followed_within_the_servos_top_speed(plant: ViperXPlant) -> None:
    goal = HOME_RAD + np.array([1.0, 0.3, -0.3, 1.0, -0.5, 1.5, 0.4])
    plant.set_goal(goal)
    speeds = []
    for _ in range(600):
        plant.step()
        speeds.append(np.abs(plant.velocity_rad_s))
    assert np.max(speeds) < 1.1 * MAX_VELOCITY_RAD_S
    assert np.max(speeds[-50:]) < 0.01
    np.testing.assert_allclose(plant.position_rad, goal, atol=0.02)


def test_servos_hardly_overshoot_their_goal(plant: ViperXPlant) -> None:
    goal = HOME_RAD + np.array([0.8, 0.0, 0.0, 0.8, 0.0, 0.8, 0.0])
    plant.set_goal(goal)
    highest = HOME_RAD.copy()
    for _ in range(500):
        plant.step()
        highest = np.maximum(highest, plant.position_rad)
    assert (highest - goal)[[0, 3, 5]].max() < 0.04


def test_a_limp_joint_falls_and_the_others_hold(plant: ViperXPlant) -> None:
    mask = ALL_ON.copy()
    mask[JOINT_NAMES.index("elbow")] = False
    plant.set_torque(mask)
    before = plant.position_rad
    plant.step(300)
    moved = np.abs(plant.position_rad - before)
    assert moved[JOINT_NAMES.index("elbow")] > 0.2
    assert moved[JOINT_NAMES.index("waist")] < 0.02
    assert plant.current_ma[JOINT_NAMES.index("elbow")] == 0.0
    assert not plant.has_torque[JOINT_NAMES.index("elbow")]


def test_a_servo_that_gets_torque_again_holds_where_it_is(plant: ViperXPlant) -> None:
    plant.set_torque(~ALL_ON)
    plant.step(150)
    fallen = plant.position_rad
    plant.set_torque(ALL_ON)
    plant.step(400)
    assert np.abs(fallen - HOME_RAD).max() > 0.2
    np.testing.assert_allclose(plant.position_rad[:6], fallen[:6], atol=0.15)


def test_a_goal_beyond_a_range_is_clipped_to_it(plant: ViperXPlant) -> None:
    goal = HOME_RAD.copy()
    goal[-1] = 5.0
    plant.set_goal(goal)
    plant.step(800)
    assert plant.position_rad[-1] == pytest.approx(OPEN_RAD, abs=0.05)


@pytest.mark.parametrize("bad", [np.full(7, np.nan), np.zeros(6), np.full(7, np.inf)])
def test_a_malformed_goal_is_refused_and_the_arm_stays(plant: ViperXPlant, bad) -> None:
    with pytest.raises(ValueError, match="a goal is 7 finite angles"):
        plant.set_goal(bad)
    plant.step(100)
    np.testing.assert_allclose(plant.position_rad, HOME_RAD, atol=0.015)


def test_a_torque_mask_of_another_length_is_refused(plant: ViperXPlant) -> None:
    with pytest.raises(ValueError, match="7 entries"):
        plant.set_torque(np.ones(6, dtype=bool))


def test_a_held_arm_draws_the_current_of_its_weight(plant: ViperXPlant) -> None:
    plant.step(500)
    # Static torque is minus the gravity torque; two XM540 of 10.6 Nm / 4.4 A share the elbow.
    torque_nm = plant.data.joint("elbow").qfrc_bias[0]
    assert plant.current_ma[2] == pytest.approx(torque_nm / (2 * 10.6 / 4.4) * 1e3, rel=0.02)
    assert abs(plant.current_ma[2]) > 100


def test_the_cube_lies_at_rest_in_the_region_wherever_it_is_placed(plant: ViperXPlant) -> None:
    rng, arm = np.random.default_rng(3), plant.position_rad
    for _ in range(20):
        plant.place_cube(rng)
        placed = plant.cube_pose
        plant.step(50)
        settled = plant.cube_pose
        assert CUBE_X_M[0] <= placed[0] <= CUBE_X_M[1]
        assert CUBE_Y_M[0] <= placed[1] <= CUBE_Y_M[1]
        np.testing.assert_allclose(settled, placed, atol=2e-3)
        assert np.linalg.norm(placed[3:]) == pytest.approx(1.0)
        assert abs(plant.cube_height_m) < 1e-3
    np.testing.assert_allclose(plant.position_rad, arm, atol=0.01)


def test_two_plants_with_one_seed_do_the_same(plant: ViperXPlant) -> None:
    other = ViperXPlant()
    for each in (plant, other):
        each.reset(np.random.default_rng(11))
        each.track(HOME_RAD, HOME_RAD + 0.05)
    np.testing.assert_array_equal(plant.data.qpos, other.data.qpos)


def test_a_policy_step_lasts_20_ms_and_ends_at_its_reference(plant: ViperXPlant) -> None:
    before, goal = plant.data.time, HOME_RAD + 0.01
    plant.track(HOME_RAD, goal)
    assert plant.data.time - before == pytest.approx(0.02)
    np.testing.assert_allclose(plant.data.ctrl, goal, atol=1e-9)
