"""LIBERO (arXiv 2306.03310): a Panda, and the fixed starts that its suites are evaluated from.

Observations have the names of LIBERO's recordings: ``ee_pos``, ``ee_ori`` (rotation vector),
``ee_states`` (both), ``gripper_states`` and ``joint_states``; where the objects are, its recordings
tell by pictures alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from models.tasks.missing import MissingError

SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10", "libero_90")
MAX_STEPS, RATE_HZ, SETTLING_STEPS = 600, 20, 5
PACKAGE = "hf-libero==0.1.4"


class LiberoWorld:
    """One task of a suite; see ``world.World``."""

    action_size = 7

    def __init__(self, env: Any, starts: np.ndarray) -> None:
        self._env, self._starts = env, starts

    def reset(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """One of the suite's starts, after the few steps in which things come to rest."""
        self._env.seed(int(rng.integers(2**31)))
        self._env.reset()
        observed = self._env.set_init_state(self._starts[int(rng.integers(len(self._starts)))])
        for _ in range(SETTLING_STEPS):
            observed, _, _, _ = self._env.step(np.zeros(self.action_size))
        return recorded(observed)

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], bool]:
        """See ``world.World``."""
        observed, _, _, _ = self._env.step(action)
        return recorded(observed), bool(self._env.check_success())


def recorded(observed: dict[str, Any]) -> dict[str, np.ndarray]:
    """robosuite's names as LIBERO's recordings have them, float32."""
    from scipy.spatial.transform import Rotation

    position = np.asarray(observed["robot0_eef_pos"])
    turn = Rotation.from_quat(observed["robot0_eef_quat"]).as_rotvec()
    named = {
        "ee_pos": position,
        "ee_ori": turn,
        "ee_states": np.concatenate([position, turn]),
        "gripper_states": observed["robot0_gripper_qpos"],
        "joint_states": observed["robot0_joint_pos"],
    }
    return {key: np.asarray(value, dtype=np.float32) for key, value in named.items()}


def make_world(suite: str, task: str) -> LiberoWorld:
    """The environment of a task. Raises MissingError that says what to fetch and where to."""
    _check_config(suite, task)
    benchmark, control_env = _package(suite, task)
    chosen = benchmark.get_benchmark_dict()[suite]()
    names = chosen.get_task_names()
    if task not in names:
        raise ValueError(f"unknown task 'libero/{suite}/{task}'; {suite} has {', '.join(names)}")
    index = names.index(task)
    described = Path(chosen.get_task_bddl_file_path(index))
    if not described.is_file():
        raise MissingError(
            f"task 'libero/{suite}/{task}': {described} is missing; it comes with {PACKAGE}, "
            f"and {_config_file()} says where it lies"
        )
    env = control_env(
        bddl_file_name=str(described), use_camera_obs=False, has_offscreen_renderer=False
    )
    return LiberoWorld(env, np.asarray(chosen.get_task_init_states(index)))


def _check_config(suite: str, task: str) -> None:
    """The package asks questions on standard input where its config is missing: never here."""
    path = _config_file()
    if not path.is_file():
        raise MissingError(
            f"task 'libero/{suite}/{task}' needs LIBERO in Python 3.10 or 3.11 and its config "
            f"{path}: 'pip install {PACKAGE}', then \"python -c 'import libero.libero'\" and "
            "answer what it asks (LIBERO_CONFIG_PATH names another folder); it fetches its scenes "
            "itself at the first start"
        )


def _config_file() -> Path:
    folder = os.environ.get("LIBERO_CONFIG_PATH")
    return (Path(folder) if folder else Path.home() / ".libero") / "config.yaml"


def _package(suite: str, task: str) -> tuple[Any, Any]:
    try:
        from libero.libero import benchmark
        from libero.libero.envs.env_wrapper import ControlEnv
    except ImportError as error:
        raise MissingError(
            f"task 'libero/{suite}/{task}' needs LIBERO: 'pip install {PACKAGE}' into an "
            f"environment of its own, for it wants robosuite 1.4.0 ({error.name} is missing)"
        ) from error
    return benchmark, ControlEnv
