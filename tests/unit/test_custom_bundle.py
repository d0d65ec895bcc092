"""Recorded data of any robot, all the way: train, export, verify, infer, tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from edge.commands.main import app
from edge.errors import OatEdgeError
from models import checkpoint as checkpoints
from models.dataset import load_windows
from models.generation import act
from models.tasks.viperx.lift import JOINT_NAMES
from tests.unit.recorded_data import columns, write_hdf5, write_lerobot, write_zarr

TOLERANCE = 1e-5


def oat(*arguments: object) -> str:
    """Output of a command; the error that it ends with is raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def thin_columns() -> dict[str, np.ndarray]:
    """A robot of one joint, one of whose observations never moves."""
    data = columns()
    still = np.full_like(data["observation.scene"], 0.25)
    return {
        "action": data["action"][:, :1],
        "observation.state": data["observation.state"][:, :1],
        "observation.scene": still,
    }


def lerobot(folder: Path) -> tuple[Path, tuple[object, ...]]:
    return write_lerobot(folder / "set", columns()), ()


def hdf5(folder: Path) -> tuple[Path, tuple[object, ...]]:
    return write_hdf5(folder / "demos.hdf5", columns()), ()


def zarr_of_one_joint(folder: Path) -> tuple[Path, tuple[object, ...]]:
    return write_zarr(folder / "buffer.zarr", thin_columns()), ("--rate-hz", 25)


Source = Callable[[Path], tuple[Path, tuple[object, ...]]]


@pytest.mark.parametrize("source", [lerobot, hdf5, zarr_of_one_joint])
def test_recorded_data_becomes_a_bundle_that_infers_as_it_was_trained(
    source: Source, tmp_path: Path
) -> None:
    data, options = source(tmp_path)
    trained, bundle = tmp_path / "trained", tmp_path / "bundle"
    steps = ("--tokenizer-steps", 2, "--policy-steps", 2)
    oat("train", "custom", "--data", data, *options, *steps, "--out", trained)
    oat("export", trained, "--precisions", "fp32", "--out", bundle)
    assert "files ok" in oat("bundle", "verify", bundle)
    assert "as recorded" in oat("bundle", "show", bundle)

    checkpoint = checkpoints.load(trained)
    features, config = checkpoint.policy.config.features, checkpoint.tokenizer.config
    windows = load_windows(data, list(features), 2, config.action_horizon)
    rows = windows.index[::20]
    seen = windows.observation(rows)
    np.savez(tmp_path / "in.npz", **{key: seen[key].numpy() for key in features})
    for k in (1, 3, 8):
        oat("infer", bundle, tmp_path / "in.npz", "--k", k, "--out", tmp_path / "out.npz")
        wanted = act(checkpoint.tokenizer, checkpoint.policy, seen, k).numpy()
        with np.load(tmp_path / "out.npz") as made:
            assert made["tokens"].shape == (len(rows), k)
            np.testing.assert_allclose(made["action"], wanted, atol=TOLERANCE, rtol=0)

    chunks = {"chunks": windows.chunk(rows).numpy(), "command": windows.command(rows).numpy()}
    np.savez(tmp_path / "chunks.npz", **chunks)
    tokens, decoded = tmp_path / "tokens.npz", tmp_path / "decoded.npz"
    oat("tokens", "encode", bundle, tmp_path / "chunks.npz", "--out", tokens)
    with np.load(tokens) as made, torch.no_grad():
        wanted = checkpoint.tokenizer.encode(windows.chunk(rows), seen)
        np.testing.assert_array_equal(made["tokens"], wanted.numpy())
        np.savez(tokens, tokens=made["tokens"], command=chunks["command"])
    oat("tokens", "decode", bundle, tokens, "--k", 8, "--out", decoded)
    with np.load(decoded) as made:
        assert made["action"].shape == chunks["chunks"].shape


def test_a_bundle_as_recorded_never_drives_a_robot_even_of_the_same_joints(tmp_path: Path) -> None:
    walk = np.tile(columns()["observation.state"], 3)[:, :7]
    data = write_lerobot(tmp_path / "set", {"observation.state": walk, "action": walk})
    described = json.loads((data / "meta/info.json").read_text())
    described["features"]["action"]["names"] = list(JOINT_NAMES)
    (data / "meta/info.json").write_text(json.dumps(described))
    trained, bundle = tmp_path / "trained", tmp_path / "bundle"
    steps = ("--tokenizer-steps", 1, "--policy-steps", 1)
    oat("train", "custom", "--data", data, *steps, "--out", trained)
    oat("export", trained, "--precisions", "fp32", "--out", bundle)
    with pytest.raises(OatEdgeError, match="as recorded"):
        oat("run", "viperx", "--bundle", bundle, "--episodes", 1)
