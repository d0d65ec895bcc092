"""Training on recorded data of any robot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from edge.commands.train import train
from models.custom_recipe import custom_recipe
from models.data.errors import DataError
from tests.unit.recorded_data import columns, write_hdf5, write_lerobot, write_zarr

app = typer.Typer()
app.command()(train)


def oat(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_recipe_has_the_features_names_and_rate_of_the_data(tmp_path: Path) -> None:
    recipe = custom_recipe(write_lerobot(tmp_path / "set", columns()), None)
    assert {key: len(feature.names) for key, feature in recipe.features.items()} == {
        "observation.command": 3,
        "observation.scene": 2,
        "observation.state": 3,
    }
    assert recipe.policy.features == {key: len(f.names) for key, f in recipe.features.items()}
    assert recipe.action.names == recipe.features["observation.command"].names == ("j0", "j1", "j2")
    assert (recipe.rate_hz, recipe.demonstrations) == (50.0, 3)
    assert recipe.tokenizer.action_dim == len(recipe.joint_weights) == 3


def test_elements_without_names_are_numbered(tmp_path: Path) -> None:
    recipe = custom_recipe(write_hdf5(tmp_path / "a.hdf5", columns()), None)
    assert recipe.features["observation.scene"].names == (
        "observation.scene_0",
        "observation.scene_1",
    )


def test_the_rate_is_asked_for_where_the_data_says_none_and_not_overruled(tmp_path: Path) -> None:
    buffer = write_zarr(tmp_path / "buffer.zarr", columns())
    with pytest.raises(DataError, match=r"buffer.zarr .*says no rate; give --rate-hz"):
        custom_recipe(buffer, None)
    assert custom_recipe(buffer, 20.0).rate_hz == 20.0
    recorded = write_lerobot(tmp_path / "set", columns())
    with pytest.raises(DataError, match=r"its rate is 50 Hz, --rate-hz is 20"):
        custom_recipe(recorded, 20.0)


@pytest.mark.parametrize("kind", ["lerobot", "hdf5"])
def test_recorded_data_trains_to_a_checkpoint(kind: str, tmp_path: Path) -> None:
    write = {"lerobot": write_lerobot, "hdf5": write_hdf5}[kind]
    data = write(tmp_path / f"data.{kind}", columns())
    steps = ("--tokenizer-steps", 2, "--policy-steps", 2)
    result = oat("custom", "--data", data, "--out", tmp_path / "out", *steps)
    assert result.exit_code == 0, result.output
    facts = json.loads((tmp_path / "out" / "config.json").read_text())["facts"]
    assert (facts["task"], facts["rate_hz"]) == ("custom", 50.0)


def test_a_named_recipe_refuses_data_without_its_features(tmp_path: Path) -> None:
    data = write_lerobot(tmp_path / "set", columns())
    result = oat("viperx-lift", "--data", data, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "no 'observation.environment_state'; it has action" in str(result.exception)


def test_custom_needs_data_and_readable_data(tmp_path: Path) -> None:
    result = oat("custom", "--out", tmp_path / "out")
    assert result.exit_code == 2 and "'custom' needs --data" in result.output
    result = oat("custom", "--data", tmp_path / "gone", "--out", tmp_path / "out")
    assert result.exit_code == 1 and "gone: no such file" in str(result.exception)
