"""Pick-and-place and stacking: scenes, the expert, and what counts as placed."""

import mujoco
import numpy as np
import pytest

from models.tasks import get_task
from models.tasks.viperx.episode import Recorder
from models.tasks.viperx.expert import MODES, WRIST, grasp_wrist_rad
from models.tasks.viperx.kinematics import Kinematics
from models.tasks.viperx.placing import (
    LOWER_CUBE_DISTANCE_M,
    REST_HEIGHT_M,
    REST_SPEED_M_S,
    REST_TICKS,
    TRAY_DISTANCE_M,
    Placement,
    PlacingSuccess,
    is_placed,
    rest_in_tray_m,
    rest_on_cube_m,
    sample_misjudgement_m,
)

NAMES = ("viperx-pick-place", "viperx-stack")
SIZES = {"viperx-pick-place": 9, "viperx-stack": 14}
KINEMATICS = Kinematics()
TOLERANCE_M = 0.02


def run_expert(name: str, seed: int, mode: int, steps: int | None = None) -> tuple[object, bool]:
    """The plant after (so many steps of) the expert's plan, and whether it succeeded."""
    task = get_task(name)
    plant, command = task.make_plant(), task.home_rad
    plant.reset(task.evaluation_rng(seed))
    expert = task.make_expert(KINEMATICS, mode, np.random.default_rng([seed, mode]))
    plan = expert.plan(plant.position_rad, command, plant.environment_state)
    success, done = task.make_success(), False
    for reference in plan.reference_rad[:steps]:
        plant.track(command, reference)
        command, done = reference, success.update(plant)
    return plant, done


def placed(**changed: object) -> Placement:
    values = {"offset_m": np.zeros(3), "speed_m_s": 0.0, "touched": False} | changed
    return Placement(**values)


def put_down(plant, rest_m: np.ndarray, yaw_rad: float = 0.0) -> None:
    """Lay the cube at its rest by hand and let it settle."""
    plant.set_cube_pose(np.array([*rest_m, np.cos(yaw_rad / 2), 0.0, 0.0, np.sin(yaw_rad / 2)]))
    plant.step(100)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", MODES)
def test_the_expert_places_the_cube_wherever_things_lie(name: str, mode: int) -> None:
    failed = [seed for seed in range(8) if not run_expert(name, seed, mode)[1]]
    assert failed == []


@pytest.mark.parametrize("name", NAMES)
def test_the_two_approaches_turn_the_wrist_a_quarter_turn_apart(name: str) -> None:
    (left, _), (right, _) = (run_expert(name, 1, mode, steps=120) for mode in MODES)
    turn = left.position_rad[5] - right.position_rad[5]
    assert turn == pytest.approx(np.pi / 2, abs=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_the_wrist_turns_first_so_that_the_way_that_is_taken_shows_early(name: str) -> None:
    task = get_task(name)
    plant = task.make_plant()
    plant.reset(task.evaluation_rng(3))
    for mode in MODES:
        expert = task.make_expert(KINEMATICS, mode, np.random.default_rng(mode))
        plan = expert.plan(plant.position_rad, task.home_rad, plant.environment_state)
        way = plan.reference_rad - task.home_rad
        done = np.abs(way[24]) / np.abs(way[plan.close_step]).clip(min=1e-9)
        assert done[WRIST] > 0.6 > 1.5 * done[1]


@pytest.mark.parametrize("turned_rad", [-0.6, -0.2, 0.2, 0.6])
def test_who_was_shoved_takes_the_grasp_that_the_wrist_is_nearer_to(turned_rad: float) -> None:
    task = get_task("viperx-pick-place")
    plant, command = task.make_plant(), task.home_rad.copy()
    plant.reset(task.evaluation_rng(0))
    cube = plant.environment_state[:7]
    command[WRIST] = np.mean([grasp_wrist_rad(cube, mode) for mode in MODES]) + turned_rad
    for mode in MODES:
        expert = task.make_expert(KINEMATICS, mode, np.random.default_rng(0))
        expert.reconsider(command, plant.environment_state)
        plan = expert.plan(plant.position_rad, command, plant.environment_state)
        turn_rad = plan.reference_rad[plan.close_step, WRIST] - command[WRIST]
        assert np.sign(turn_rad) == np.sign(turned_rad) or abs(turned_rad) > np.pi / 4
        assert abs(turn_rad) < np.pi / 4


@pytest.mark.parametrize("name", NAMES)
def test_the_expert_goes_on_from_where_it_holds_the_cube(name: str) -> None:
    task = get_task(name)
    plant, command = task.make_plant(), task.home_rad
    plant.reset(task.evaluation_rng(3))
    expert = task.make_expert(KINEMATICS, 0, np.random.default_rng(0))
    plan = expert.plan(plant.position_rad, command, plant.environment_state)
    for reference in plan.reference_rad[: plan.lift_step + 10]:
        plant.track(command, reference)
        command = reference
    again = expert.plan(plant.position_rad, command, plant.environment_state)
    assert again.lift_step == again.close_step == 0
    assert np.ptp(again.reference_rad[: again.release_step, 6]) == 0.0
    success, done = task.make_success(), False
    for reference in again.reference_rad:
        plant.track(command, reference)
        command, done = reference, success.update(plant)
    assert done


@pytest.mark.parametrize("name", NAMES)
def test_demonstrations_end_with_the_task_done_and_use_both_approaches(name: str) -> None:
    data = get_task(name).generate(6, seed=2)
    assert data.environment_state.shape == (len(data.mask), SIZES[name])
    assert set(data.mode) == set(MODES)
    assert data.success_rate >= 0.75
    ends = [*data.episode_start[1:], len(data.mask)]
    rest = {"viperx-pick-place": rest_in_tray_m, "viperx-stack": rest_on_cube_m}[name]
    for end in ends:
        scene = data.environment_state[end - 1].astype(float)
        assert np.linalg.norm(scene[:3] - rest(scene)) < 0.02
        assert data.mask[end - 1]
    assert max(np.diff([0, *ends])) <= get_task(name).max_steps


@pytest.mark.parametrize("name", NAMES)
def test_a_misjudged_place_is_noticed_and_what_it_led_to_is_no_label(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    error_m = np.zeros(SIZES[name])
    error_m[7:9] = 0.04, -0.03
    task = get_task(name)
    monkeypatch.setattr(type(task), "misjudgement", lambda self, rng: error_m)
    monkeypatch.setattr("models.tasks.viperx.episode.SHOVE_PROBABILITY", 0.0)
    episodes = [Recorder(task, np.random.default_rng(seed)).record() for seed in range(3)]
    recorded = [episode for episode in episodes if episode is not None]
    assert recorded
    for episode in recorded:
        astray = np.flatnonzero(~episode.mask)
        assert astray.size > 2
        assert episode.mask[: astray[0]].all()
        assert episode.mask[-1]
        rest = {"viperx-pick-place": rest_in_tray_m, "viperx-stack": rest_on_cube_m}[name]
        scene = episode.environment_state[-1].astype(float)
        assert np.linalg.norm(scene[:3] - rest(scene)) < task.tolerance_m + REST_HEIGHT_M


def test_half_of_the_demonstrators_misjudge_the_place_and_none_by_more_than_4_cm() -> None:
    rng = np.random.default_rng(0)
    errors = [sample_misjudgement_m(rng, 9) for _ in range(400)]
    made = np.array([error for error in errors if error is not None])
    assert 160 < len(made) < 240
    assert np.abs(made).max() <= 0.04
    assert 0.016 < made[:, 7:].std() < 0.022
    assert not made[:, :7].any()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_counts_as_placed_at_the_start(name: str) -> None:
    task, plant = get_task(name), get_task(name).make_plant()
    for seed in range(20):
        plant.place_cube(np.random.default_rng(seed))
        assert not task.is_done(plant)


def test_the_tray_and_the_lower_cube_leave_room_for_the_open_gripper() -> None:
    for name, distance_m in zip(NAMES, (TRAY_DISTANCE_M, LOWER_CUBE_DISTANCE_M), strict=True):
        plant = get_task(name).make_plant()
        for seed in range(50):
            plant.place_cube(np.random.default_rng(seed))
            scene = plant.environment_state
            assert np.linalg.norm(scene[7:9] - scene[:2]) >= distance_m


def test_a_cube_put_down_in_the_middle_of_the_tray_is_placed_and_one_beside_it_is_not() -> None:
    task = get_task("viperx-pick-place")
    plant = task.make_plant()
    plant.reset(np.random.default_rng(0))
    rest_m = rest_in_tray_m(plant.environment_state)
    put_down(plant, rest_m + np.array([0.0, 0.0, 0.002]))
    assert task.is_done(plant)
    put_down(plant, rest_m + np.array([0.025, 0.0, 0.002]))
    assert not task.is_done(plant), "in the tray, but not in its middle"
    put_down(plant, rest_m + np.array([0.09, 0.0, 0.0]))
    assert not task.is_done(plant)


def test_a_cube_put_on_the_other_is_placed_and_one_far_off_its_centre_is_not() -> None:
    task = get_task("viperx-stack")
    plant = task.make_plant()
    plant.reset(np.random.default_rng(0))
    rest_m = rest_on_cube_m(plant.environment_state)
    put_down(plant, rest_m + np.array([0.0, 0.0, 0.001]), yaw_rad=0.3)
    assert task.is_done(plant)
    put_down(plant, rest_m + np.array([0.018, 0.0, 0.001]))
    assert not task.is_done(plant)
    put_down(plant, plant.environment_state[7:10] + np.array([0.05, 0.0, 0.0]))
    assert not task.is_done(plant), "beside it on the table"


@pytest.mark.parametrize("name", NAMES)
def test_a_cube_in_the_gripper_is_not_let_go(name: str) -> None:
    task = get_task(name)
    plant, command = task.make_plant(), task.home_rad
    plant.reset(task.evaluation_rng(0))
    expert = task.make_expert(KINEMATICS, 0, np.random.default_rng(0))
    plan = expert.plan(plant.position_rad, command, plant.environment_state)
    assert not plant.placement.touched
    for reference in plan.reference_rad[: plan.release_step]:
        plant.track(command, reference)
        command = reference
    for _ in range(30):
        plant.track(command, command)
    assert plant.placement.touched
    assert np.linalg.norm(plant.placement.offset_m) < 0.01
    assert not task.is_done(plant)


@pytest.mark.parametrize(
    ("just_inside", "just_outside"),
    [
        ({"offset_m": np.array([0.0, 0.0199, 0.0])}, {"offset_m": np.array([0.0, 0.0201, 0.0])}),
        (
            {"offset_m": np.array([0.0, 0.0, -0.99 * REST_HEIGHT_M])},
            {"offset_m": np.array([0.0, 0.0, 1.01 * REST_HEIGHT_M])},
        ),
        ({"speed_m_s": 0.99 * REST_SPEED_M_S}, {"speed_m_s": 1.01 * REST_SPEED_M_S}),
        ({"touched": False}, {"touched": True}),
    ],
)
def test_each_condition_has_its_bound(just_inside: dict, just_outside: dict) -> None:
    assert is_placed(placed(**just_inside), TOLERANCE_M)
    assert not is_placed(placed(**just_outside), TOLERANCE_M)


def test_a_cube_counts_as_placed_only_after_half_a_second_without_a_break() -> None:
    class Plant:
        placement = placed()

    success, plant = PlacingSuccess(TOLERANCE_M), Plant()
    assert not any(success.update(plant) for _ in range(REST_TICKS - 1))
    plant.placement = placed(touched=True)
    assert not success.update(plant)
    plant.placement = placed()
    assert not any(success.update(plant) for _ in range(REST_TICKS - 1))
    assert success.update(plant)
    plant.placement = placed(touched=True)
    assert success.update(plant), "once done, the episode stays done"


@pytest.mark.parametrize("name", NAMES)
def test_a_scene_adds_to_the_arms_model_and_changes_nothing_of_it(name: str) -> None:
    from models.tasks.viperx.plant import MODEL_PATH

    alone = mujoco.MjModel.from_xml_path(str(MODEL_PATH))
    scene = get_task(name).make_plant().model
    np.testing.assert_array_equal(scene.jnt_range[: alone.njnt], alone.jnt_range)
    np.testing.assert_array_equal(scene.actuator_ctrlrange, alone.actuator_ctrlrange)
    np.testing.assert_array_equal(scene.dof_armature[:9], alone.dof_armature[:9])
