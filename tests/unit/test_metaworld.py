"""MetaWorld's environments as tasks: references, scenes, experts, demonstrations."""

from __future__ import annotations

import builtins
import pickle
import subprocess
import sys

import numpy as np
import pytest

from models.rollout import rollout
from models.tasks import get_task
from models.tasks.metaworld.names import NAMES, TEN, one_of_ten

pytest.importorskip("metaworld")

REACH = get_task("metaworld/reach")
SIZES = {"state": 4, "environment_state": 17, "command": 4, "task": 10}


@pytest.fixture(scope="module")
def plant():
    return REACH.make_plant()


def test_the_names_are_those_of_the_package() -> None:
    from metaworld.policies import ENV_POLICY_MAP

    assert {f"{name}-v3" for name in NAMES} == set(ENV_POLICY_MAP)


def test_an_unknown_task_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'metaworld/juggle'; metaworld/ has assembly, .*reach"):
        get_task("metaworld/juggle")


def test_naming_a_task_loads_no_simulator() -> None:
    code = "import models.tasks as t, sys; t.get_task('metaworld/reach');"
    code += "sys.exit(sum(m in sys.modules for m in ('mujoco', 'metaworld', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_package_it_says_what_to_install(monkeypatch) -> None:
    real = builtins.__import__

    def without(wanted: str, *rest: object, **named: object) -> object:
        if wanted.split(".")[0] == "metaworld":
            raise ImportError("No module named 'metaworld'", name="metaworld")
        return real(wanted, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"'metaworld/push' needs .*oat-edge\[metaworld\]"):
        get_task("metaworld/push").make_plant()


def test_a_task_rests_at_its_home_and_observes_what_the_recipe_says(plant) -> None:
    from models.recipes import get_recipe

    plant.reset(REACH.evaluation_rng(0))
    np.testing.assert_allclose(REACH.home_rad[:3], plant.goal, atol=1e-6)
    features = get_recipe("metaworld-10").features
    for key, value in REACH.observe(plant, REACH.home_rad).items():
        assert value.dtype == np.float32
        assert len(value) == SIZES[key.removeprefix("observation.")] == len(features[key].names)


def test_the_goal_is_seen_and_differs_from_scene_to_scene(plant) -> None:
    goals = []
    for seed in range(5):
        plant.reset(REACH.evaluation_rng(seed))
        goals.append(plant.environment_state[14:])
    assert np.abs(goals).min(axis=0).max() > 0
    assert np.ptp(goals, axis=0).max() > 0.05


def test_the_same_seed_gives_the_same_scene_and_the_same_motion() -> None:
    states = []
    for _ in range(2):
        plant = REACH.make_plant()
        plant.reset(REACH.evaluation_rng(3))
        for step in range(10):
            plant.track(plant.home, plant.home + np.array([0.005 * step, 0, 0, 0]))
        states.append(np.concatenate([plant.state, plant.environment_state]))
    np.testing.assert_array_equal(*states)


def test_a_reference_is_reached_at_a_centimetre_a_step_and_no_faster(plant) -> None:
    plant.reset(REACH.evaluation_rng(0))
    target = plant.home + np.array([0.025, -0.02, 0.0, 0.0])
    plant.track(plant.home, target)
    first = plant.home[:3] + np.array([0.01, -0.01, 0.0])
    np.testing.assert_allclose(plant.goal, first, atol=1e-9)
    for _ in range(2):
        plant.track(plant.home, target)
    np.testing.assert_allclose(plant.goal, target[:3], atol=1e-9)


def test_a_reference_does_exactly_what_the_packages_own_action_does() -> None:
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    task = get_task("metaworld/push")
    plant, rng = task.make_plant(), np.random.default_rng(0)
    plant.reset(task.evaluation_rng(1))
    env = ALL_V3_ENVIRONMENTS["push-v3"]()
    env.set_task(_frozen_task(type(env), plant))
    env.reset()
    into_the_wall = np.array([0.6, 0.0, 0.0, 0.0])
    for _ in range(120):
        action = np.clip(rng.uniform(-1, 1, 4) + into_the_wall, -1, 1)
        plant.track(plant.home, plant.bounds.after(plant.goal, action))
        observation, _, _, _, _ = env.step(action)
        np.testing.assert_allclose(plant.state, observation[:4], atol=1e-9)
        np.testing.assert_allclose(plant.environment_state[:14], observation[4:18], atol=1e-9)
    assert plant.goal[0] == pytest.approx(plant.bounds.high_m[0])


def _frozen_task(env_class: type, plant):
    """The package's description of the scene that a plant is in, the goal seen."""
    from metaworld.types import Task

    data = {
        "env_cls": env_class,
        "rand_vec": plant._env._last_rand_vec,
        "partially_observable": False,
    }
    return Task(env_name="push-v3", data=pickle.dumps(data))


def test_it_goes_on_beyond_the_packages_own_longest_episode(plant) -> None:
    plant.reset(REACH.evaluation_rng(0))
    for _ in range(510):
        plant.track(plant.home, plant.home)
    assert not plant.succeeded


@pytest.mark.parametrize("name", ["reach", "pick-place", "drawer-close"])
def test_the_packages_expert_succeeds_in_closed_loop(name: str) -> None:
    task = get_task(f"metaworld/{name}")
    results = [rollout(task, task.demonstrator(np.random.default_rng(0)), s, 1) for s in range(2)]
    assert all(result.success for result in results)
    assert all(10 < result.steps < task.max_steps for result in results)


def test_demonstrations_have_clean_labels_and_noisy_commands_and_end_in_success() -> None:
    data = get_task("metaworld/pick-place").generate(3, seed=1)
    steps = len(data.mask)
    assert data.state.shape == data.command.shape == data.action.shape == (steps, 4)
    assert data.environment_state.shape == (steps, 17)
    assert data.mask.all() and (data.attempts >= 1).all()
    ends = [*data.episode_start[1:], steps]
    for start, end in zip(data.episode_start, ends, strict=True):
        puck, goal = data.environment_state[end - 1, :3], data.environment_state[end - 1, 14:]
        assert np.linalg.norm(puck - goal) < 0.07
        noise = data.command[start + 1 : end, :3] - data.action[start : end - 1, :3]
        assert 0 < np.abs(noise).max() < 0.03
    assert np.abs(data.action[:, 3]).max() <= 1.0


def test_a_seed_gives_the_same_demonstrations() -> None:
    few, more = REACH.generate(1, seed=4), REACH.generate(2, seed=4)
    np.testing.assert_array_equal(few.action, more.action[: len(few.action)])
    np.testing.assert_array_equal(few.state, more.state[: len(few.state)])


def test_one_policy_for_ten_tasks_is_shown_all_of_them_and_told_at_which_it_is() -> None:
    arrays = get_task("metaworld-10").generate(10, seed=3).arrays()
    starts, told = arrays["episode_start"], arrays["observation.task"]
    assert len(starts) == len(arrays["attempts"]) == 10
    assert np.array_equal(told[starts], np.eye(10, dtype=np.float32))
    assert np.array_equal(told[starts[1:] - 1], np.eye(10, dtype=np.float32)[:-1])
    reach = REACH.generate(1, seed=3).arrays()
    first, last = starts[TEN.index("reach")], starts[TEN.index("reach") + 1]
    assert np.array_equal(arrays["action"][first:last], reach["action"])
    assert "pick-place" in TEN
    assert "peg-insert-side" in TEN
    with pytest.raises(ValueError, match="multiples of 10, got 12"):
        get_task("metaworld-10").generate(12, seed=0)


def test_a_task_says_which_of_the_ten_it_is_and_others_none() -> None:
    assert one_of_ten("assembly").tolist() == [1.0] + [0.0] * 9
    assert not one_of_ten("hammer").any()
