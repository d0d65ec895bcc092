"""Evaluation in closed loop: rows, their order, what they count, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from calibration.export import export_bundle
from edge.commands.evaluation.several_tasks import means
from edge.commands.main import app
from edge.commands.plots.success_figure import draw_success, save_success_figure
from edge.errors import OatEdgeError
from models.agent import Observation, Plan
from models.evaluation import Job, Outcome, Setup, evaluate, processes, run_job
from models.pipeline import train_recipe
from models.recipes import Recipe, get_recipe
from models.rivals.training import train_rival
from models.rollout import rollout
from models.tasks import get_task, rolled_out
from models.tasks.metaworld.names import TEN
from models.wilson import wilson_interval
from tests.unit.tiny_rivals import SCHEDULE, recipe, write_demonstrations

HORIZON = 32


class Holding:
    """Stays where it is; every other chunk of its ``tokens`` stands for nothing."""

    def __init__(self, most_tokens: int = 0, tokens: int | None = None) -> None:
        self.most_tokens, self.tokens, self.plans = most_tokens, tokens, 0

    def plan(self, observation: Observation, k: int | None, rng: np.random.Generator) -> Plan:
        self.plans += 1
        hold = np.repeat(observation["observation.command"][-1:], HORIZON, axis=0)
        return Plan(hold, k or self.tokens, self.tokens is None or self.plans % 2 == 0)


def oat_edge(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def rows(*arguments: object) -> list[dict[str, Any]]:
    result = oat_edge("eval", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["rows"]


def ten_demonstrations() -> dict[str, np.ndarray]:
    """Synthetic ones, in the shapes of `metaworld-10`."""
    rng, steps = np.random.default_rng(0), 4 * 40
    features = get_recipe("metaworld-10").features
    sizes = {key: len(feature.names) for key, feature in features.items()} | {"action": 4}
    arrays = {key: rng.normal(size=(steps, n)).astype(np.float32) for key, n in sizes.items()}
    starts = np.arange(4) * 40
    return arrays | {"mask": np.ones(steps, dtype=bool), "episode_start": starts}


def test_the_expert_succeeds_from_starts_of_the_evaluation() -> None:
    (row,) = evaluate(Setup("viperx-lift", "expert", None), [None], episodes=3, seeds=2)
    assert row == {
        "task": "viperx-lift",
        "policy": "expert",
        "k": None,
        "episodes": 6,
        "success": 1.0,
        "ci95": [round(bound, 4) for bound in wilson_interval(6, 6)],
        "tokens_per_chunk": None,
        "plans": None,
        "undecodable": 0,
    }


def test_an_arm_that_holds_fails_and_its_undecodable_chunks_are_counted() -> None:
    setup = Setup("viperx-lift", "fast", partial(Holding, 0, 11))
    (row,) = evaluate(setup, [None], episodes=1, seeds=1)
    plans = -(-get_task("viperx-lift").max_steps // 16)
    assert (row["success"], row["plans"], row["tokens_per_chunk"]) == (0.0, plans, 11.0)
    assert row["undecodable"] == -(-plans // 2)


def test_a_row_per_k_in_the_order_asked_and_one_report_per_episode() -> None:
    seen: list[None] = []
    setup = Setup("viperx-lift", "oat", partial(Holding, 8))
    made = evaluate(setup, [4, 1], 1, 2, report=lambda: seen.append(None))
    assert [(row["k"], row["tokens_per_chunk"]) for row in made] == [(4, 4.0), (1, 1.0)]
    assert len(seen) == 4


def test_processes_change_nothing() -> None:
    setup = Setup("viperx-lift", "expert", None)
    with processes(2) as apply:
        together = evaluate(setup, [None], 1, 2, apply)
    assert together == evaluate(setup, [None], 1, 2)


def test_seeds_and_episodes_give_different_starts_and_the_same_ones_again() -> None:
    class First:
        def __init__(self) -> None:
            self.scenes: list[np.ndarray] = []

        def __call__(self, observation: dict[str, np.ndarray]) -> np.ndarray:
            self.scenes.append(observation["observation.environment_state"][-1])
            raise StopIteration

    def scene(seed: int, episode: int) -> tuple[float, ...]:
        watch = First()
        with pytest.raises(StopIteration):
            rollout(get_task("viperx-lift"), watch, seed, episode=episode)
        return tuple(watch.scenes[0].tolist())

    starts = [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert len({scene(*start) for start in starts}) == 4
    assert scene(1, 1) == scene(1, 1)


def test_an_outcome_depends_on_its_job_alone() -> None:
    setup = Setup("viperx-lift", "expert", None)
    assert run_job(setup, Job(None, 0, 1)) == run_job(setup, Job(None, 0, 1))
    assert run_job(setup, Job(None, 0, 1)) == Outcome(True, 0, None, 0)


def test_the_command_evaluates_the_shipped_bundle_and_the_expert() -> None:
    made = rows("viperx-lift", "--policy", "expert,oat", "--k", "1,8", "--episodes", 1)
    assert [(row["policy"], row["k"]) for row in made] == [("expert", None), ("oat", 1), ("oat", 8)]
    assert all(row["success"] == 1.0 and row["episodes"] == 1 for row in made)
    assert [row["tokens_per_chunk"] for row in made] == [None, 1.0, 8.0]


def test_the_figure_has_a_point_per_k_and_a_level_for_who_cannot_stop(tmp_path: Path) -> None:
    common = {"task": "viperx-lift", "episodes": 4, "ci95": [0.2, 0.9], "tokens_per_chunk": 24.5}
    made = [common | {"policy": "oat", "k": k, "success": k / 10} for k in (1, 2, 8)]
    made.append(common | {"policy": "fast", "k": None, "success": 0.5})
    axes = draw_success(made).axes[0]
    points, _, _ = axes.containers[0].lines
    assert points.get_xydata().tolist() == [[1, 0.1], [2, 0.2], [8, 0.8]]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(labels) == ["fast, 24.5 tokens", "oat"]
    out = tmp_path / "figure.svg"
    save_success_figure(made, out)
    assert out.read_text().count("<svg") == 1


def test_without_json_it_prints_a_table() -> None:
    result = oat_edge("eval", "viperx-lift", "--policy", "expert", "--episodes", 1)
    assert result.exit_code == 0
    assert "100.0%" in result.stdout and "expert" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("juggle",), r"TASK: unknown task 'juggle'; known tasks: viperx-lift"),
        (("viperx-lift", "--policy", "lucky"), r"--policy is 'lucky', allowed are oat, bin"),
        (("viperx-lift", "--k", "9"), r"--k is 9, allowed is 1 to 8"),
        (("viperx-lift", "--k", "none"), r"--k is 'none'"),
        (
            ("viperx-lift", "--policy", "oat,mlp", "--checkpoint", "x"),
            r"--checkpoint goes with one --policy",
        ),
    ],
)
def test_wrong_usage_is_one_line_that_says_what_is_allowed(
    arguments: tuple[str, ...], message: str
) -> None:
    result = oat_edge("eval", *arguments)
    assert isinstance(result.exception, OatEdgeError)
    assert result.exception.exit_code == 2
    assert str(result.exception).count("\n") == 0
    with pytest.raises(OatEdgeError, match=message):
        raise result.exception


def test_the_mean_over_tasks_counts_every_episode_and_every_plan_once() -> None:
    common = {"policy": "oat", "episodes": 4, "ci95": [0, 1], "undecodable": 1}
    made = [
        common | {"task": "a", "k": 1, "success": 0.25, "tokens_per_chunk": 1.0, "plans": 30},
        common | {"task": "a", "k": 8, "success": 1.0, "tokens_per_chunk": 8.0, "plans": 10},
        common | {"task": "b", "k": 1, "success": 0.5, "tokens_per_chunk": 2.0, "plans": 10},
    ]
    first, second = means(made, "both")
    assert (first["task"], first["k"], first["episodes"]) == ("both", 1, 8)
    assert (first["success"], first["undecodable"], first["plans"]) == (3 / 8, 2, 40)
    assert first["tokens_per_chunk"] == 1.25
    assert first["ci95"] == [round(bound, 4) for bound in wilson_interval(3, 8)]
    assert (second["k"], second["success"]) == (8, 1.0)


def small_ten() -> Recipe:
    """One policy for ten tasks, hardly trained."""
    return replace(
        get_recipe("metaworld-10"),
        policy_schedule=SCHEDULE,
        tokenizer_schedule=SCHEDULE,
        forecast_schedule=SCHEDULE,
    )


def test_a_policy_of_ten_tasks_is_exported_with_its_successes_on_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("metaworld")
    monkeypatch.setattr("models.tasks.TEN", ("drawer-close", "window-open"))
    data = tmp_path / "ten.npz"
    np.savez(data, **ten_demonstrations())
    train_recipe(small_ten(), data, tmp_path / "oat")
    with pytest.raises(ValueError, match="multiples of 2, got 3"):
        export_bundle(tmp_path / "oat", tmp_path / "bundle", ["fp32"], episodes=3)
    parity = export_bundle(tmp_path / "oat", tmp_path / "bundle", ["fp32"], episodes=2)
    counts = parity["precisions"]["fp32"]["closed_loop"]
    assert {k: count["episodes"] for k, count in counts.items()} == dict.fromkeys("1248", 2)
    made = rows("metaworld-10", "--bundle", tmp_path / "bundle", "--episodes", 1)[-4:]
    assert [row["success"] * 2 for row in made] == [c["successes"] for c in counts.values()]


def test_weights_for_ten_tasks_are_evaluated_on_each_and_on_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("metaworld")
    assert rolled_out("metaworld-10") == [f"metaworld/{name}" for name in TEN]
    monkeypatch.setattr("models.tasks.TEN", TEN[-2:])
    data = tmp_path / "ten.npz"
    np.savez(data, **ten_demonstrations())
    train_rival(small_ten(), "mlp", data, tmp_path / "mlp")
    told = ("--policy", "mlp", "--checkpoint", tmp_path / "mlp", "--episodes", 1)
    made = rows("metaworld-10", *told)
    assert [row["task"] for row in made[:-1]] == ["metaworld/reach", "metaworld/window-open"]
    assert (made[-1]["task"], made[-1]["episodes"]) == ("metaworld-10", 2)
    assert made[-1]["plans"] == sum(row["plans"] for row in made[:-1])
    stray = oat_edge("eval", "metaworld/hammer", *told)
    assert "is for task 'metaworld-10', not 'metaworld/hammer'" in str(stray.exception)


def test_a_checkpoint_of_another_kind_or_task_is_refused(tmp_path: Path) -> None:
    data = write_demonstrations(tmp_path)
    train_rival(recipe(), "mlp", data, tmp_path / "mlp")
    other = oat_edge("eval", "viperx-lift", "--policy", "bin", "--checkpoint", tmp_path / "mlp")
    assert "'bin'" in str(other.exception) and "'mlp'" in str(other.exception)
    stray = oat_edge("eval", "viperx-stack", "--policy", "mlp", "--checkpoint", tmp_path / "mlp")
    assert "is for task 'viperx-lift', not 'viperx-stack'" in str(stray.exception)
    gone = oat_edge("eval", "viperx-lift", "--policy", "mlp", "--checkpoint", tmp_path / "no")
    assert "config.json: not the config of a rival" in str(gone.exception)
