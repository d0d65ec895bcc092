"""The task registry and closed-loop rollouts."""

import subprocess
import sys

import numpy as np
import pytest

from models.rollout import History, evaluate, rollout
from models.tasks import TASK_NAMES, get_task
from models.tasks.seeds import training_rng
from models.tasks.viperx.expert import Expert, Style
from models.tasks.viperx.kinematics import Kinematics

TASK = get_task("viperx-lift")


class Oracle:
    """Plans once from its first observation and then reads its plan out chunk by chunk."""

    def __init__(self) -> None:
        self._rest = None

    def __call__(self, observations: dict[str, np.ndarray]) -> np.ndarray:
        if self._rest is None:
            expert = Expert(Kinematics(), 0, Style.sample(np.random.default_rng(0)))
            newest = [observations[f"observation.{key}"][-1].astype(np.float64) for key in _KEYS]
            self._rest = expert.plan(*newest).reference_rad
        hold = np.repeat(self._rest[-1:], 32, axis=0)
        chunk, self._rest = np.concatenate([self._rest, hold])[:32], self._rest[16:]
        self._rest = self._rest if len(self._rest) else hold
        return chunk


_KEYS = ("state", "command", "environment_state")


def hold(observations: dict[str, np.ndarray]) -> np.ndarray:
    """A policy that stays where it is."""
    return np.repeat(observations["observation.command"][-1:], 32, axis=0)


def test_an_unknown_task_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown task 'lift'; known tasks: viperx-lift"):
        get_task("lift")


def test_every_task_has_a_home_for_every_joint_under_its_own_name() -> None:
    for name in TASK_NAMES:
        task = get_task(name)
        assert task.name == name
        assert task.home_rad.shape == (len(task.joint_names),)


def test_naming_a_task_loads_no_simulator() -> None:
    code = "import models.rollout, models.tasks as t, sys; t.get_task('viperx-lift');"
    code += "sys.exit(sum(m in sys.modules for m in ('mujoco', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_plan_of_the_expert_succeeds_in_closed_loop() -> None:
    result = rollout(TASK, Oracle(), seed=3)
    assert result.success
    assert 80 < result.steps < TASK.max_steps
    assert 0.01 < result.max_command_step_rad < 0.06


def test_a_policy_that_holds_never_succeeds_and_never_moves() -> None:
    result = rollout(TASK, hold, seed=3)
    assert (result.success, result.steps) == (False, TASK.max_steps)
    assert result.max_command_step_rad < 1e-6


def test_an_evaluation_is_its_seeds_one_by_one_with_any_number_of_workers() -> None:
    alone = evaluate(TASK, hold, n=2, first_seed=5)
    together = evaluate(TASK, hold, n=2, first_seed=5, workers=2)
    assert alone == together
    assert [result.seed for result in alone.results] == [5, 6]
    assert alone.success_rate == 0.0 and alone.successes == 0


def test_evaluations_never_draw_from_the_seeds_of_demonstrations() -> None:
    trained = {training_rng(seed, 0, 0).integers(2**62) for seed in range(50)}
    trained |= {
        training_rng(seed, 0, attempt).integers(2**62) for attempt in range(3) for seed in range(50)
    }
    evaluated = {
        TASK.evaluation_rng(seed, episode).integers(2**62)
        for seed in range(50)
        for episode in range(3)
    }
    assert len(evaluated) == 150
    assert not trained & evaluated


def test_a_policy_sees_two_steps_with_the_newest_last_and_one_chunk_per_horizon() -> None:
    seen = []

    def watch(observations: dict[str, np.ndarray]) -> np.ndarray:
        seen.append(observations)
        return hold(observations) + np.linspace(0, 0.1, 32)[:, None] * (np.arange(7) == 0)

    rollout(TASK, watch, seed=1, execute=8)
    assert len(seen) == -(-TASK.max_steps // 8)
    assert all(value.shape == (2, 7) for value in seen[0].values())
    np.testing.assert_array_equal(*seen[0]["observation.command"])
    older, newest = seen[1]["observation.command"]
    assert newest[0] > older[0]


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (np.zeros((8, 7)), r"\(8, 7\)"),
        (np.zeros((32, 6)), r"\(32, 6\)"),
        (np.full((32, 7), np.nan), "not finite"),
    ],
)
def test_a_malformed_chunk_is_refused(chunk: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rollout(TASK, lambda _: chunk, seed=0)


def test_counts_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        evaluate(TASK, hold, n=0)


def test_a_history_of_one_step_repeats_it() -> None:
    history = History()
    history.add({"x": np.array([1.0])})
    assert history.stacked()["x"].tolist() == [[1.0], [1.0]]
    history.add({"x": np.array([2.0])})
    history.add({"x": np.array([3.0])})
    assert history.stacked()["x"].tolist() == [[2.0], [3.0]]
