"""RoboMimic, LIBERO and RoboCasa: what they say where something is missing, and RoboMimic's way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edge.commands.main import app
from models.tasks import get_task
from models.tasks.outside.libero import recorded
from models.tasks.outside.world import vectors


def oat_edge(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refusal(*arguments: object) -> str:
    """The one line of a command that is refused with exit code 2."""
    result = oat_edge(*arguments)
    assert getattr(result.exception, "exit_code", None) == 2, result.output
    message = str(result.exception)
    assert "\n" not in message
    return message


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OAT_EDGE_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("LIBERO_CONFIG_PATH", str(tmp_path / "libero"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("robomimic/juggle", "robomimic/ has lift, can, square, transport, tool_hang"),
        ("libero/libero_11/x", "libero/<suite>/<task> has suites libero_spatial, libero_object"),
        ("libero/libero_10", "libero/<suite>/<task>"),
        ("robocasa/no task", "robocasa/ has such as OpenDrawer"),
    ],
)
def test_a_name_that_none_can_have_is_refused(name: str, says: str) -> None:
    assert says in refusal("eval", name)


def test_robomimic_without_recordings_says_how_to_fetch_them_and_where_to(tmp_path: Path) -> None:
    message = refusal("eval", "robomimic/can")
    assert f"no .hdf5 below {tmp_path / 'datasets' / 'robomimic' / 'can'}" in message
    assert "robomimic.scripts.download_datasets --tasks can --dataset_types ph" in message
    assert f"--download_dir {tmp_path / 'datasets' / 'robomimic'}'" in message


def test_robomimic_with_a_file_that_describes_nothing_names_it(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "datasets/robomimic/can/ph/low_dim_v15.hdf5"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not HDF5")
    assert "low_dim_v15.hdf5: data.env_args describes no environment" in refusal(
        "eval", "robomimic/can"
    )
    with h5py.File(path, "w") as file:
        file.create_group("data").attrs["env_args"] = json.dumps({"env_name": "PickPlaceCan"})
    assert "describes no environment ('env_kwargs')" in refusal("eval", "robomimic/can")


def test_libero_is_never_imported_where_it_would_ask_questions(tmp_path: Path) -> None:
    message = refusal("eval", "libero/libero_goal/open_the_middle_drawer_of_the_cabinet")
    assert f"its config {tmp_path / 'libero' / 'config.yaml'}" in message
    assert "pip install hf-libero==0.1.4" in message


def test_libero_without_its_package_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "libero").mkdir()
    (tmp_path / "libero/config.yaml").write_text("{}")
    message = refusal("eval", "libero/libero_goal/open_the_middle_drawer_of_the_cabinet")
    assert "pip install hf-libero==0.1.4" in message and "(libero is missing)" in message


def test_robocasa_without_its_package_says_what_to_clone_and_which_assets() -> None:
    message = refusal("eval", "robocasa/OpenDrawer")
    assert "https://github.com/robocasa/robocasa" in message
    assert "robocasa.scripts.download_kitchen_assets" in message


def test_training_needs_the_recordings() -> None:
    result = oat_edge("train", "libero/libero_goal/some_task")
    assert result.exit_code == 2
    assert "'libero/libero_goal/some_task' needs --data" in result.output


def test_observations_are_vectors_under_the_names_of_the_recordings() -> None:
    seen = {
        "object-state": np.zeros(10),
        "robot0_eef_pos": np.zeros(3),
        "robot0_proprio-state": np.zeros(32),
        "agentview_image": np.zeros((4, 4, 3)),
        "nut_id": 1,
    }
    made = vectors(seen)
    assert {key: len(value) for key, value in made.items()} == {
        "object": 10,
        "robot0_eef_pos": 3,
        "nut_id": 1,
    }


def test_libero_observes_the_turn_of_the_hand_as_a_rotation_vector() -> None:
    half = np.sqrt(0.5)
    made = recorded(
        {
            "robot0_eef_pos": [1.0, 2.0, 3.0],
            "robot0_eef_quat": [0.0, 0.0, half, half],
            "robot0_gripper_qpos": [0.04, -0.04],
            "robot0_joint_pos": np.zeros(7),
        }
    )
    np.testing.assert_allclose(made["ee_ori"], [0, 0, np.pi / 2], atol=1e-6)
    np.testing.assert_allclose(made["ee_states"], [1, 2, 3, 0, 0, np.pi / 2], atol=1e-6)
    assert {len(made["gripper_states"]), len(made["joint_states"])} == {2, 7}


def test_robomimics_way_from_recordings_to_rows(tmp_path: Path) -> None:
    robosuite = pytest.importorskip("robosuite")
    pytest.importorskip("torch")
    path = tmp_path / "datasets/robomimic/lift/ph/low_dim_v15.hdf5"
    arguments = describe(robosuite)
    write_recordings(path, robosuite, arguments)
    task = get_task("robomimic/lift")
    assert (task.rate_hz, task.max_steps) == (20, 400)
    plant = task.make_plant()
    plant.reset(task.evaluation_rng(5))
    first = plant.observed["object"].copy()
    plant.reset(task.evaluation_rng(5))
    np.testing.assert_array_equal(plant.observed["object"], first)
    steps = ("--tokenizer-steps", 2, "--policy-steps", 2)
    out = tmp_path / "out"
    trained = oat_edge("train", "robomimic/lift", "--data", path, "--out", out, *steps)
    assert trained.exit_code == 0, trained.output
    run = ("--checkpoint", out, "--k", 1, "--episodes", 1, "--json")
    result = oat_edge("eval", "robomimic/lift", *run)
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["task"], row["episodes"], row["plans"]) == ("robomimic/lift", 1, 25)
    assert "has no expert here" in refusal("eval", "robomimic/lift", "--policy", "expert")


def test_recordings_of_an_older_robosuite_are_refused_with_the_ones_to_fetch(
    tmp_path: Path,
) -> None:
    robosuite = pytest.importorskip("robosuite")
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "datasets/robomimic/lift/ph/low_dim_v141.hdf5"
    path.parent.mkdir(parents=True)
    old = describe(robosuite) | {"env_version": "1.4.1"}
    old["env_kwargs"]["controller_configs"] = {"type": "OSC_POSE", "control_delta": True}
    with h5py.File(path, "w") as file:
        file.create_group("data").attrs["env_args"] = json.dumps(old)
    message = refusal("eval", "robomimic/lift")
    assert "low_dim_v141.hdf5: recorded with robosuite 1.4.1, which 1.5" in message
    assert "download_datasets --tasks lift" in message


def test_a_policy_of_other_observations_is_one_line(tmp_path: Path) -> None:
    robosuite = pytest.importorskip("robosuite")
    pytest.importorskip("torch")
    from models import checkpoint as checkpoints
    from tests.unit.tiny_models import tiny_checkpoint

    write_recordings(tmp_path / "datasets/robomimic/lift/demo.hdf5", robosuite, describe(robosuite))
    made = tiny_checkpoint()
    made.facts["task"] = "robomimic/lift"
    checkpoints.save(tmp_path / "out", made)
    run = ("--checkpoint", tmp_path / "out", "--k", 1, "--episodes", 1)
    result = oat_edge("eval", "robomimic/lift", *run)
    assert getattr(result.exception, "exit_code", None) == 1
    assert "no 'observation.state' is observed; there is observation.command" in str(
        result.exception
    )


def describe(robosuite: Any) -> dict[str, Any]:
    """``env_args`` of a Panda that lifts."""
    controller = robosuite.load_composite_controller_config(robot="Panda")
    arguments = {"robots": ["Panda"], "controller_configs": controller, "control_freq": 20}
    return {"env_name": "Lift", "env_version": robosuite.__version__, "env_kwargs": arguments}


def write_recordings(path: Path, robosuite: Any, described: dict[str, Any]) -> None:
    """Three short episodes of small motions, in robomimic's layout."""
    import h5py

    hidden = {"has_renderer": False, "has_offscreen_renderer": False, "use_camera_obs": False}
    env = robosuite.make("Lift", **described["env_kwargs"], **hidden, seed=0)
    path.parent.mkdir(parents=True)
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        group = file.create_group("data")
        group.attrs["env_args"] = json.dumps(described)
        for number in range(3):
            seen, rows, actions = env.reset(), [], rng.uniform(-0.3, 0.3, (40, 7))
            for action in actions:
                rows.append(vectors(seen))
                seen, _, _, _ = env.step(action)
            demo = group.create_group(f"demo_{number}")
            demo.create_dataset("actions", data=actions)
            for key in ("object", "robot0_eef_pos", "robot0_gripper_qpos"):
                demo.create_dataset(f"obs/{key}", data=np.array([row[key] for row in rows]))
