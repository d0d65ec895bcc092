"""RoboMimic (arXiv 2108.03298): robosuite environments as a file of recordings describes them.

The description is the JSON text ``env_args`` of the file's group ``data`` (robomimic's
documentation, "Dataset Structure"); the package robomimic is needed to fetch files, not to run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.tasks.missing import MissingError
from models.tasks.outside.world import RobosuiteWorld, make_quietly

TASKS = {"lift": 400, "can": 400, "square": 400, "transport": 700, "tool_hang": 700}
"""Steps of the longest episode, as the study evaluates."""

ROBOSUITE = "1.5"


def make_world(task: str, datasets: Path) -> RobosuiteWorld:
    """The environment of a task. Raises MissingError that says what to fetch and where to."""
    path = _recording(task, datasets / "robomimic")
    described = _description(path)
    try:
        import robosuite
    except ImportError as error:
        raise MissingError(
            f"task 'robomimic/{task}' needs the extra 'robosuite' (Python 3.10 to 3.12): "
            f"pip install 'oat-edge[robosuite]' ({error.name} is missing)"
        ) from error
    try:
        made = make_quietly(
            robosuite.make, env_name=described["env_name"], **described["env_kwargs"]
        )
    except (KeyError, TypeError, AssertionError) as error:
        raise MissingError(
            f"{path}: recorded with robosuite {described.get('env_version', '?')}, which "
            f"{robosuite.__version__} does not rebuild ({error}); {_fetch(task, path.parents[2])}"
        ) from error
    return RobosuiteWorld(made)


def rate_hz(task: str, datasets: Path) -> float:
    """Control rate that the recordings say, 20 Hz where they say none."""
    described = _description(_recording(task, datasets / "robomimic"))
    return float(described["env_kwargs"].get("control_freq", 20))


def _recording(task: str, folder: Path) -> Path:
    """The task's first file, low-dimensional ones before others."""
    files = sorted((folder / task).rglob("*.hdf5"), key=lambda p: ("low_dim" not in p.name, p))
    if not files:
        raise MissingError(
            f"task 'robomimic/{task}' needs recordings: no .hdf5 below {folder / task}; "
            f"{_fetch(task, folder)}"
        )
    return files[0]


def _fetch(task: str, folder: Path) -> str:
    return (
        "with robomimic 0.5 (git clone https://github.com/ARISE-Initiative/robomimic) run "
        f"'python -m robomimic.scripts.download_datasets --tasks {task} --dataset_types ph "
        f"--hdf5_types low_dim --download_dir {folder}'"
    )


def _description(path: Path) -> dict[str, Any]:
    """``env_args``. Raises ValueError that names the file."""
    try:
        import h5py
    except ImportError as error:
        raise MissingError("recordings need the extra 'data': oat-edge[data]") from error
    try:
        with h5py.File(path, "r") as file:
            described = json.loads(file["data"].attrs["env_args"])
        if not isinstance(described["env_name"], str) or not isinstance(
            described["env_kwargs"], dict
        ):
            raise TypeError("env_name and env_kwargs are not as wanted")
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise MissingError(f"{path}: data.env_args describes no environment ({error})") from error
    return dict(described)
