"""What tokens buy: errors and successes by their number, and how many a chunk takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from edge.commands.main import app
from edge.commands.plots.order_figure import draw_order
from edge.errors import OatEdgeError
from models import checkpoint as checkpoints
from models.dataset import Windows
from models.recipes import get_recipe, with_nested_dropout, with_tokenizer
from models.token_study import chunk_lengths, demonstrated_windows, error_by_tokens, unseen_windows
from models.tokenizer import OATTokenizer
from models.tokenizers.ordered import OrderedTokens
from tests.unit.tiny_rivals import recipe, write_demonstrations

SHIPPED = Path(__file__).parents[2] / "models" / "checkpoints"
SMALL = SHIPPED / "viperx-lift-small"


def oat_edge(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def lifts() -> Windows:
    return unseen_windows("viperx-lift", get_recipe("viperx-lift").policy, 32, 2)


def test_every_number_of_tokens_is_measured_and_trained_ones_fall(lifts: Windows) -> None:
    tokens = OrderedTokens(checkpoints.load(SMALL).tokenizer)
    errors = error_by_tokens(tokens, lifts)
    assert list(errors) == list(range(1, 9))
    assert errors[1] > errors[2] > errors[8] > 0
    rows = lifts.index[::10]
    chunk, observation = lifts.chunk(rows), lifts.observation(rows)
    one = lifts.subset(rows)
    with torch.no_grad():
        decoded = tokens.decode_prefix(tokens.encode(chunk, observation), 3, observation)
    assert error_by_tokens(tokens, one)[3] == pytest.approx(
        float((decoded - chunk).square().mean().sqrt())
    )


def test_what_is_measured_on_was_not_trained_on(lifts: Windows) -> None:
    policy = get_recipe("viperx-lift").policy
    trained = demonstrated_windows("viperx-lift", policy, 32, 2, seed=0)
    assert not torch.equal(trained.action[:50], lifts.action[:50])


def test_an_observed_tokenizer_is_measured_by_what_its_policy_observes(lifts: Windows) -> None:
    recipe = with_tokenizer(get_recipe("viperx-lift"), "observed")
    errors = error_by_tokens(OrderedTokens(OATTokenizer(recipe.tokenizer).eval()), lifts)
    assert list(errors) == list(range(1, 9))


def test_lengths_are_those_of_the_methods(lifts: Windows) -> None:
    found = chunk_lengths(get_recipe("viperx-lift"), lifts, lifts)
    assert found["bin"].mean == 32 * 7
    assert {found[name].mean for name in ("oat", "quest", "vq")} == {8}
    fast = found["fast"]
    assert 1 <= fast.fewest <= fast.mean <= fast.most < 224
    assert fast.fewest < fast.most


def test_order_prints_a_row_per_checkpoint_and_number_of_tokens(tmp_path: Path) -> None:
    plot = tmp_path / "order.svg"
    told = ("--demonstrations", 1, "--episodes", 0, "--plot", plot, "--json")
    result = oat_edge("tokens", "order", SMALL, SHIPPED / "viperx-lift", *told)
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [row["k"] for row in rows] == [*range(1, 9)] * 2
    assert [row["k"] for row in rows[:8] if row["trained"]] == [1, 2, 4, 8]
    assert plot.stat().st_size > 1000
    text = oat_edge("tokens", "order", SMALL, "--demonstrations", 1, "--episodes", 0).output
    assert "pow2" in text


def test_success_is_measured_at_every_number_of_tokens() -> None:
    result = oat_edge("tokens", "order", SMALL, "--demonstrations", 1, "--episodes", 1, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [row["episodes"] for row in rows] == [1] * 8
    figure = draw_order(rows)
    lines = [line for axes in figure.axes for line in axes.lines]
    assert len(figure.axes) == 2
    assert {len(line.get_xdata()) for line in lines} == {8, 4}


def test_checkpoints_of_two_tasks_are_refused(tmp_path: Path) -> None:
    other = checkpoints.load(SMALL)
    other.facts["task"] = "viperx-stack"
    checkpoints.save(tmp_path / "other", other)
    result = oat_edge("tokens", "order", SMALL, tmp_path / "other")
    assert isinstance(result.exception, OatEdgeError)
    assert "viperx-lift, viperx-stack; one is allowed" in str(result.exception)


def test_lengths_prints_a_row_per_tokenizer() -> None:
    result = oat_edge("tokens", "lengths", "viperx-lift", "--demonstrations", 2, "--json")
    assert result.exit_code == 0, result.output
    rows = {row["tokenizer"]: row for row in json.loads(result.stdout)["rows"]}
    assert set(rows) == {"oat", "quest", "vq", "bin", "fast"}
    assert rows["bin"]["mean"] == 224


@pytest.mark.parametrize("command", ["order", "lengths"])
def test_what_is_no_checkpoint_or_task_is_refused_by_name(command: str) -> None:
    result = oat_edge("tokens", command, "nothing")
    assert isinstance(result.exception, OatEdgeError)
    assert "nothing" in str(result.exception)


def test_nested_dropout_is_chosen_by_name_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    assert with_nested_dropout(recipe(), None) == recipe()
    assert with_nested_dropout(recipe(), "uniform").tokenizer.nested_dropout == "uniform"
    with pytest.raises(ValueError, match="'cubic', allowed are pow2, uniform"):
        with_nested_dropout(recipe(), "cubic")
    data = write_demonstrations(tmp_path)
    refused = oat_edge("train", "viperx-lift", "--nested-dropout", "cubic", "--data", data)
    assert refused.exit_code == 2
    assert "cubic" in refused.output
