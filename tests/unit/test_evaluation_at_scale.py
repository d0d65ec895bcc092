"""Evaluations that go on where they were cut off, and that run on a Ray cluster."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from edge.commands.main import app
from models.evaluation import Job, Outcome, Setup, evaluate
from models.outcome_log import OutcomeLog
from models.ray_map import ClusterError, cluster
from tests.needs import require

EXPERT = Setup("viperx-lift", "expert", None)


def oat_edge(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def counting(calls: list[Any]) -> Any:
    """A ``Map`` that notes the jobs it is given."""

    def apply(function: Any, jobs: Any) -> Any:
        for job in jobs:
            calls.append(job)
            yield function(job)

    return apply


def test_an_evaluation_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    class CutError(Exception):
        pass

    def cut(function: Any, jobs: Any) -> Any:
        yield function(jobs[0])
        raise CutError

    path = tmp_path / "log" / "lift.jsonl"
    with OutcomeLog(path) as log, pytest.raises(CutError):
        evaluate(EXPERT, [None], 2, 1, cut, log=log)
    calls: list[Any] = []
    seen: list[None] = []
    with OutcomeLog(path) as log:
        rows = evaluate(EXPERT, [None], 2, 1, counting(calls), lambda: seen.append(None), log)
    assert calls == [Job(None, 0, 1)] and len(seen) == 2
    assert rows == evaluate(EXPERT, [None], 2, 1)
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["seed"], row["episode"], row["success"]) for row in kept] == [
        (0, 0, True),
        (0, 1, True),
    ]


def test_outcomes_of_other_weights_are_not_taken(tmp_path: Path) -> None:
    job, outcome = Job(4, 1, 2), Outcome(True, 3, 12, 0)
    mine = replace(EXPERT, policy="oat", weights="a")
    with OutcomeLog(tmp_path / "log") as log:
        log.add(mine, job, outcome)
    with OutcomeLog(tmp_path / "log") as log:
        assert log.find(mine, job) == outcome
        for other in (replace(mine, weights="b"), replace(mine, execute=8)):
            assert log.find(other, job) is None
        assert log.find(mine, replace(job, k=8)) is None


def test_a_line_that_was_cut_off_is_dropped_and_the_next_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with OutcomeLog(path) as log:
        log.add(EXPERT, Job(None, 0, 0), Outcome(True, 0, None, 0))
    path.write_bytes(path.read_bytes() + b'{"task": "viperx-li')
    with OutcomeLog(path) as log:
        log.add(EXPERT, Job(None, 0, 1), Outcome(False, 0, None, 0))
    assert [json.loads(line)["episode"] for line in path.read_text().splitlines()] == [0, 1]


def test_a_file_of_another_kind_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("shopping\nlist\n")
    result = oat_edge("eval", "viperx-lift", "--policy", "expert", "--log", path)
    assert getattr(result.exception, "exit_code", None) == 2
    assert "line 1 is no outcome of an episode" in str(result.exception)
    assert path.read_text() == "shopping\nlist\n"


def test_without_ray_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = oat_edge("eval", "viperx-lift", "--policy", "expert", "--ray", "local")
    assert getattr(result.exception, "exit_code", None) == 2
    assert "oat-edge[ray]" in str(result.exception)


@pytest.mark.filterwarnings("ignore::FutureWarning:ray", "ignore::ResourceWarning")
def test_a_cluster_of_two_cores_comes_to_the_same_in_the_same_order(tmp_path: Path) -> None:
    require("ray")
    log = tmp_path / "log.jsonl"
    run = ("eval", "viperx-lift", "--policy", "expert", "--episodes", 3, "--json")
    result = oat_edge(*run, "--ray", "local", "--workers", 2, "--log", log)
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["rows"]
    assert [row] == evaluate(EXPERT, [None], 3, 1)
    assert [json.loads(line)["episode"] for line in log.read_text().splitlines()] == [0, 1, 2]
    again = oat_edge(*run, "--log", log)
    assert json.loads(again.stdout)["rows"] == [row]


def test_an_address_without_a_cluster_is_one_line() -> None:
    require("ray")
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1", "nonsense"):
        with pytest.raises(ClusterError, match=f"no cluster at '{address}'"), cluster(address):
            pass
