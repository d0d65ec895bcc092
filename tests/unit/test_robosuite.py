"""robosuite's environments as tasks: references, scenes, experts, demonstrations, training."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models.recipes import get_recipe
from models.rollout import rollout
from models.tasks import get_task
from models.tasks.robosuite.expert import HANDLING
from models.tasks.robosuite.names import SCENES

LIFT = get_task("robosuite/Lift")


@pytest.fixture(scope="module")
def plant():
    pytest.importorskip("robosuite")
    return LIFT.make_plant()


def test_an_unknown_task_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'robosuite/Juggle'; robosuite/ has Lift, Can, Square"):
        get_task("robosuite/Juggle")


def test_naming_a_task_and_its_recipe_loads_no_simulator() -> None:
    code = "import models.tasks as t, sys; t.get_task('robosuite/Can').home_rad;"
    code += "sys.exit(sum(m in sys.modules for m in ('mujoco', 'robosuite', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_package_it_says_what_to_install(monkeypatch) -> None:
    real = builtins.__import__

    def without(wanted: str, *rest: object, **named: object) -> object:
        if wanted.split(".")[0] == "robosuite":
            raise ImportError("No module named 'robosuite'", name="robosuite")
        return real(wanted, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    from edge.commands.main import app

    result = CliRunner().invoke(app, ["eval", "robosuite/Lift", "--policy", "expert"])
    assert "'robosuite/Lift' needs the extra 'robosuite'" in str(result.exception)
    assert "oat-edge[robosuite]" in str(result.exception)
    assert getattr(result.exception, "exit_code", None) == 2


def test_every_scene_has_an_expert_and_a_recipe() -> None:
    assert set(HANDLING) == set(SCENES)
    for name in SCENES:
        recipe = get_recipe(f"robosuite/{name}")
        assert (recipe.rate_hz, recipe.tokenizer.action_dim) == (20.0, 7)
        assert len(recipe.joint_weights) == len(recipe.action.names) == 7


def test_a_task_rests_near_its_home_and_observes_what_the_recipe_says(plant) -> None:
    plant.reset(LIFT.evaluation_rng(0))
    off = plant.state[:6] - LIFT.home_rad[:6]
    assert np.abs(off[:3]).max() < 0.05 and np.abs(off[3:]).max() < 0.2
    features = get_recipe("robosuite/Lift").features
    observed = LIFT.observe(plant, LIFT.home_rad)
    assert set(observed) == set(features)
    for key, value in observed.items():
        assert value.dtype == np.float32 and value.shape == (len(features[key].names),)


def test_scenes_differ_by_seed_and_the_same_seed_gives_the_same_motion(plant) -> None:
    def run(seed: int) -> np.ndarray:
        plant.reset(LIFT.evaluation_rng(seed))
        seen = [plant.environment_state]
        for step in range(5):
            plant.track(LIFT.home_rad, LIFT.home_rad + np.array([0.01 * step, 0, 0, 0, 0, 0, 2.0]))
        return np.concatenate([*seen, plant.state])

    first, other, again = run(3), run(4), run(3)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[:3] - other[:3]).max() > 0.001


def test_a_reference_is_a_pose_of_the_hand_in_the_world(plant) -> None:
    plant.reset(LIFT.evaluation_rng(0))
    wanted = LIFT.home_rad + np.array([0.05, 0.08, -0.06, 0.1, -0.1, 0.6, 0.0])
    for _ in range(60):
        plant.track(wanted, wanted)
    np.testing.assert_allclose(plant.state[:3], wanted[:3], atol=0.006)
    np.testing.assert_allclose(plant.state[3:6], wanted[3:6], atol=0.03)


def test_a_reference_far_away_is_followed_by_a_bounded_step(plant) -> None:
    plant.reset(LIFT.evaluation_rng(0))
    before = plant.goal.copy()
    plant.track(LIFT.home_rad, LIFT.home_rad + np.array([1.0, -1.0, 0, 0, 0, 2.0, 0]))
    np.testing.assert_allclose((plant.goal - before)[[0, 1, 5]], [0.05, -0.05, 0.5])


def test_fingers_close_and_open_as_told(plant) -> None:
    plant.reset(LIFT.evaluation_rng(0))
    apart = []
    for effort in (1.0, -1.0):
        for _ in range(15):
            plant.track(LIFT.home_rad, np.append(LIFT.home_rad[:6], effort))
        apart.append(plant.state[6])
    assert apart[0] < 0.005 and apart[1] > 0.07


@pytest.mark.parametrize("name", list(SCENES))
def test_the_expert_succeeds_in_closed_loop(name: str) -> None:
    pytest.importorskip("robosuite")
    task = get_task(f"robosuite/{name}")
    result = rollout(task, task.demonstrator(np.random.default_rng(0)), 1, execute=1)
    assert result.success and 20 < result.steps < task.max_steps


def test_an_arm_that_stays_lifts_nothing() -> None:
    pytest.importorskip("robosuite")
    result = rollout(LIFT, lambda seen: seen["observation.command"][-1:], 0, execute=1)
    assert not result.success and result.steps == LIFT.max_steps


def test_demonstrations_have_clean_labels_and_noisy_commands_and_end_lifted() -> None:
    pytest.importorskip("robosuite")
    data = LIFT.generate(2, seed=1)
    steps = len(data.mask)
    assert data.state.shape == data.command.shape == data.action.shape == (steps, 7)
    assert data.mask.all() and (data.attempts >= 1).all()
    for start, end in zip(data.episode_start, [*data.episode_start[1:], steps], strict=True):
        assert data.environment_state[end - 1, 2] > 0.84
        noise = data.command[start + 1 : end, :6] - data.action[start : end - 1, :6]
        assert 0 < np.abs(noise).max() < 0.2
    again = LIFT.generate(1, seed=1)
    np.testing.assert_array_equal(again.action, data.action[: len(again.action)])


def test_train_writes_a_checkpoint_that_eval_runs(tmp_path: Path) -> None:
    pytest.importorskip("robosuite")
    pytest.importorskip("torch")
    from edge.commands.main import app

    out, data = str(tmp_path / "lift"), tmp_path / "demonstrations.npz"
    LIFT.generate(2, seed=0).save(data)
    steps = ["--tokenizer-steps", "1", "--policy-steps", "1", "--data", str(data)]
    trained = CliRunner().invoke(app, ["train", "robosuite/Lift", *steps, "--out", out])
    assert trained.exit_code == 0, trained.output
    run = ["eval", "robosuite/Lift", "--checkpoint", out, "--k", "2", "--episodes", "1", "--json"]
    result = CliRunner().invoke(app, run)
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["task"], row["k"], row["episodes"]) == ("robosuite/Lift", 2, 1)
