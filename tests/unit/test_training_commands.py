from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from edge import bundle as bundles
from edge.commands.export import export
from edge.commands.train import train
from models.recipes import get_recipe

app = typer.Typer()
app.command()(train)
app.command()(export)

ROOT = Path(__file__).parents[2]


def oat(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``train`` makes in two steps of synthetic data in the shipped recipe's shape."""
    folder = tmp_path_factory.mktemp("train")
    rng = np.random.default_rng(0)
    rows = 4 * 40
    arrays = {
        key: rng.normal(size=(rows, len(feature.names))).astype(np.float32)
        for key, feature in get_recipe("viperx-lift").features.items()
    }
    data = folder / "demonstrations.npz"
    np.savez(
        data,
        **arrays,
        action=arrays["observation.command"],
        mask=np.ones(rows, bool),
        episode_start=np.arange(4) * 40,
    )
    steps = ("--tokenizer-steps", 2, "--policy-steps", 2)
    out = folder / "checkpoint"
    result = oat("train", "viperx-lift", "--data", data, "--out", out, *steps)
    assert result.exit_code == 0, result.output
    assert "reconstruction error" in result.output
    return out


def test_a_trained_checkpoint_exports_to_a_valid_bundle(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    result = oat("export", checkpoint, "--out", out, "--precisions", "fp32")
    assert result.exit_code == 0, result.output
    manifest = bundles.load(out).manifest
    assert manifest.action.names[-1] == "gripper"
    assert manifest.tokenizer.trained_prefixes == (1, 2, 4, 8)
    again = oat("export", checkpoint, "--out", out)
    assert again.exit_code == 1
    assert "--force" in str(again.exception)


def test_the_recipes_match_their_tasks() -> None:
    from models.recipes import RECIPES
    from models.tasks import get_task

    for recipe in RECIPES.values():
        task = get_task(recipe.task)
        assert recipe.action.names == task.joint_names
        assert recipe.rate_hz == task.rate_hz


def test_an_unknown_recipe_is_a_usage_error_that_names_the_known() -> None:
    result = oat("train", "juggle")
    assert result.exit_code == 2
    assert "viperx-lift" in result.output


def test_a_missing_file_is_a_failure_that_names_it(tmp_path: Path) -> None:
    training = oat("train", "viperx-lift", "--data", tmp_path / "no.npz", "--out", tmp_path / "o")
    assert training.exit_code == 1
    assert "no.npz" in str(training.exception)
    exporting = oat("export", tmp_path / "nowhere", "--out", tmp_path / "b")
    assert exporting.exit_code == 1
    assert "nowhere" in str(exporting.exception)
    assert not list(tmp_path.iterdir())


def test_without_torch_training_says_what_to_install_on_standard_error() -> None:
    wall = "import sys; sys.modules['torch'] = None; "
    code = f"{wall}sys.argv = ['oat-edge', 'train', 'viperx-lift']; "
    code += "from edge.commands.main import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("oat-edge: train: torch is missing; install oat-edge[train]")
