"""The lift task, its expert, and the demonstrations it leaves."""

import numpy as np
import pytest

from models.tasks import get_task
from models.tasks.demonstrations import Demonstrations
from models.tasks.noise import OrnsteinUhlenbeck
from models.tasks.viperx import episode as episode_module
from models.tasks.viperx.episode import NOISE_MAX_RAD
from models.tasks.viperx.expert import MODES, Expert, Style, minimum_jerk, shortest_steps
from models.tasks.viperx.kinematics import Kinematics
from models.tasks.viperx.lift import (
    CUBE_TURN_RAD,
    HOME_RAD,
    LIFT_TICKS,
    LiftSuccess,
    sample_cube_pose,
)
from models.tasks.viperx.plant import ViperXPlant

KINEMATICS = Kinematics()
generate = get_task("viperx-lift").generate


class Cube:
    def __init__(self, height_m: float) -> None:
        self.cube_height_m = height_m


@pytest.fixture(scope="module")
def demonstrations() -> Demonstrations:
    return generate(24, seed=5)


def run_expert(seed: int, mode: int, start: np.ndarray = HOME_RAD) -> tuple[bool, np.ndarray]:
    """Whether the expert lifts, and its references (T, 7)."""
    plant, rng = ViperXPlant(), np.random.default_rng(seed)
    plant.reset(rng, start)
    expert = Expert(KINEMATICS, mode, Style.sample(rng))
    plan = expert.plan(plant.position_rad, start, plant.cube_pose)
    success, command, lifted = LiftSuccess(), start, False
    for reference in plan.reference_rad:
        plant.track(command, reference)
        command, lifted = reference, success.update(plant)
    return lifted, plan.reference_rad


def episodes(data: Demonstrations) -> list[slice]:
    ends = [*data.episode_start[1:], len(data.mask)]
    return [slice(start, end) for start, end in zip(data.episode_start, ends, strict=True)]


@pytest.mark.parametrize("mode", MODES)
def test_the_expert_lifts_the_cube_wherever_it_lies(mode: int) -> None:
    failed = [seed for seed in range(20) if not run_expert(seed, mode)[0]]
    assert failed == []


def test_the_two_grasps_of_one_cube_differ_by_a_quarter_turn_of_the_wrist() -> None:
    for seed in range(5):
        (_, left), (_, right) = (run_expert(seed, mode) for mode in MODES)
        turn = left[-1, 5] - right[-1, 5]
        assert turn == pytest.approx(np.pi / 2, abs=0.02)
        assert abs(left[-1, 3]) < 0.05 > abs(right[-1, 3])


def test_the_expert_lifts_from_a_displaced_arm_too() -> None:
    offsets = np.random.default_rng(0).uniform(-0.25, 0.25, (6, 7))
    for seed, offset in enumerate(offsets):
        assert run_expert(seed, seed % 2, HOME_RAD + offset)[0], f"seed {seed}"


def test_an_unknown_grasp_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="grasp mode 2"):
        Expert(KINEMATICS, 2, Style.sample(np.random.default_rng(0)))


def test_an_expert_that_holds_the_cube_goes_on_lifting() -> None:
    plant, rng = ViperXPlant(), np.random.default_rng(4)
    plant.reset(rng)
    expert = Expert(KINEMATICS, 0, Style.sample(rng))
    plan = expert.plan(plant.position_rad, HOME_RAD, plant.cube_pose)
    assert plan.lift_step > plan.close_step > 0
    command = HOME_RAD
    for reference in plan.reference_rad[: plan.lift_step + 5]:
        plant.track(command, reference)
        command = reference
    again = expert.plan(plant.position_rad, command, plant.cube_pose)
    assert again.lift_step == 0
    assert np.ptp(again.reference_rad[:, 6]) == 0.0


def test_a_minimum_jerk_motion_keeps_the_speed_and_acceleration_it_was_timed_for() -> None:
    for distance in (0.05, 0.4, 1.5):
        steps = shortest_steps(np.array([distance]))
        path = np.vstack([np.zeros((1, 1)), minimum_jerk(np.zeros(1), np.full(1, distance), steps)])
        velocity = np.diff(path, axis=0) / 0.02
        assert path[-1, 0] == pytest.approx(distance)
        assert velocity.max() < 1.6 * 1.1
        assert np.abs(np.diff(velocity, axis=0) / 0.02).max() < 12.0 * 1.15


def test_cube_poses_lie_in_the_region_with_both_grasps_natural() -> None:
    rng = np.random.default_rng(1)
    poses = np.array([sample_cube_pose(rng) for _ in range(500)])
    assert poses[:, 0].min() >= 0.26 and poses[:, 0].max() <= 0.38
    assert np.abs(poses[:, 1]).max() <= 0.15
    assert np.ptp(poses[:, 0]) > 0.11 and np.ptp(poses[:, 1]) > 0.28
    turn = 2 * np.arctan2(poses[:, 6], poses[:, 3]) - np.arctan2(poses[:, 1], poses[:, 0])
    assert np.abs(turn - np.pi / 4).max() <= CUBE_TURN_RAD + 1e-9


def test_a_cube_counts_as_lifted_only_after_ten_ticks_in_a_row() -> None:
    success = LiftSuccess()
    assert not any(success.update(Cube(0.081)) for _ in range(LIFT_TICKS - 1))
    assert not success.update(Cube(0.079))
    assert not any(success.update(Cube(0.081)) for _ in range(LIFT_TICKS - 1))
    assert success.update(Cube(0.081))
    assert success.update(Cube(0.0)), "once done, the episode stays done"


def test_the_expert_fails_rarely_with_noise_and_shoves(demonstrations: Demonstrations) -> None:
    assert demonstrations.success_rate >= 0.9
    assert set(demonstrations.mode) == set(MODES)


def test_columns_fit_each_other(demonstrations: Demonstrations) -> None:
    data, steps = demonstrations, len(demonstrations.mask)
    for column in (data.state, data.environment_state, data.command, data.action):
        assert column.shape == (steps, 7)
        assert column.dtype == np.float32
        assert np.isfinite(column).all()
    lengths = [part.stop - part.start for part in episodes(data)]
    assert min(lengths) > 90 and max(lengths) <= 300
    assert len(data.mode) == len(data.episode_start) == 24


def test_the_observed_command_is_what_was_executed_near_the_clean_label(
    demonstrations: Demonstrations,
) -> None:
    data = demonstrations
    noises = []
    for part in episodes(data):
        executed, label = data.command[part][1:], data.action[part][:-1]
        valid = data.mask[part][:-1]
        noises.append((executed - label)[valid])
    noise = np.concatenate(noises)
    assert 0.002 < noise.std() < NOISE_MAX_RAD
    assert np.abs(noise).max() < 5 * NOISE_MAX_RAD


def test_labels_are_clean_although_what_is_executed_is_noisy(
    demonstrations: Demonstrations,
) -> None:
    """Clean references are smooth: their second difference is far below the commands'."""
    data = demonstrations
    undisturbed = [part for part in episodes(data) if data.mask[part].all()]
    labels = [np.abs(np.diff(data.action[part], 2, axis=0)) for part in undisturbed]
    commands = [np.abs(np.diff(data.command[part], 2, axis=0)) for part in undisturbed]
    assert max(label.max() for label in labels) < 20.0 * 0.02**2
    assert np.concatenate(commands).mean() > 2 * np.concatenate(labels).mean()


def test_about_half_of_the_episodes_are_shoved_and_shoves_are_no_labels(
    demonstrations: Demonstrations,
) -> None:
    data = demonstrations
    shoved = [not data.mask[part].all() for part in episodes(data)]
    assert 5 <= sum(shoved) <= 19
    for part in episodes(data):
        assert data.mask[part][0] and data.mask[part][-1]


def test_every_demonstration_ends_with_the_cube_aloft(demonstrations: Demonstrations) -> None:
    for part in episodes(demonstrations):
        assert (demonstrations.environment_state[part][-8:, 2] > 0.09).all()


def test_a_seed_gives_the_same_data_whoever_else_is_recorded() -> None:
    few, more = generate(2, seed=9), generate(3, seed=9)
    steps = len(few.mask)
    for name in ("state", "environment_state", "command", "action", "mask"):
        np.testing.assert_array_equal(getattr(few, name), getattr(more, name)[:steps])
    assert not np.array_equal(generate(1, seed=10).command[:50], few.command[:50])


def test_workers_change_nothing_but_the_time() -> None:
    alone, together = generate(2, seed=9), generate(2, seed=9, workers=2)
    np.testing.assert_array_equal(alone.action, together.action)
    np.testing.assert_array_equal(alone.state, together.state)


def test_demonstrations_survive_a_file_without_pickles(demonstrations, tmp_path) -> None:
    path = tmp_path / "demonstrations.npz"
    demonstrations.save(path)
    with np.load(path, allow_pickle=False) as arrays:
        assert {"observation.state", "observation.environment_state", "observation.command"} < set(
            arrays.files
        )
        assert all(arrays[key].dtype != object for key in arrays.files)
    loaded = Demonstrations.load(path)
    np.testing.assert_array_equal(loaded.action, demonstrations.action)
    np.testing.assert_array_equal(loaded.mask, demonstrations.mask)


def test_a_file_that_lacks_an_array_is_refused_by_its_name(tmp_path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, action=np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npz.*'observation\.state'"):
        Demonstrations.load(path)


@pytest.mark.parametrize(("n", "workers"), [(0, 1), (1, 0)])
def test_nonsense_counts_are_refused(n: int, workers: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        generate(n, seed=0, workers=workers)


def test_an_expert_that_never_lifts_is_reported_with_its_seed(monkeypatch) -> None:
    monkeypatch.setattr(episode_module.Recorder, "record", lambda self: None)
    with pytest.raises(RuntimeError, match="seed 3, episode 0"):
        generate(1, seed=3)


def test_noise_wanders_with_the_deviation_that_was_asked_for() -> None:
    noise = OrnsteinUhlenbeck(np.random.default_rng(0), 0.02, 1)
    values = np.array([noise.next(1.0) for _ in range(20000)])[:, 0]
    assert values.std() == pytest.approx(0.02, rel=0.1)
    assert abs(np.diff(values)).mean() < 0.5 * values.std()
    noise.reset()
    assert np.all(noise.next(0.0) == 0.0)
