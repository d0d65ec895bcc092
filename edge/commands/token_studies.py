"""``oat-edge tokens order`` and ``tokens lengths``: what tokens buy, and how many a chunk takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.commands.options import save_plot

if TYPE_CHECKING:
    from models.checkpoint import Checkpoint

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def order(
    checkpoints: Annotated[list[Path], typer.Argument(help="Of oat and one task; train's --out.")],
    demonstrations: Annotated[int, typer.Option(min=1, help="Fresh ones to reconstruct.")] = 20,
    episodes: Annotated[int, typer.Option(min=0, help="Starts at each k; 0: none.")] = 50,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes; one core each.")] = 1,
    plot: Annotated[Path | None, typer.Option(help="Figure: .png, .pdf or .svg.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure reconstruction and success at every number of tokens, trained or not.

    Compares tokenizers by how their prefixes were trained (train --nested-dropout).
    """
    from edge.errors import RunError, UsageError

    try:
        from models import checkpoint
    except ImportError as error:
        raise RunError(f"tokens order: {error.name} is missing; install oat-edge[train]") from error
    try:
        loaded = {path: checkpoint.load(path) for path in checkpoints}
    except ValueError as error:
        raise RunError(f"tokens order: {error}") from error
    tasks = {one.facts["task"] for one in loaded.values()}
    if len(tasks) > 1:
        raise UsageError(f"CHECKPOINTS are for tasks {', '.join(sorted(tasks))}; one is allowed")
    rows = _reconstruct(tasks.pop(), loaded, demonstrations)
    if episodes:
        _add_success(rows, loaded, episodes, workers)
    if plot is not None:
        save_plot(plot, lambda: _draw(rows, plot))
    if as_json:
        print(json.dumps({"rows": rows}))
        return
    from edge.commands.benchmarks.tables import print_rows

    print_rows([_readable(row) for row in rows], f"{rows[0]['task']} · by tokens decoded")


def lengths(
    tasks: Annotated[list[str], typer.Argument(help="Such as viperx-lift.")],
    demonstrations: Annotated[int, typer.Option(min=1, help="Learned on, and measured on.")] = 40,
    as_json: AsJson = False,
) -> None:
    """Count the tokens that each tokenizer takes for a chunk of each task.

    FAST's are learned from fresh demonstrations and counted on others; nothing else is trained.
    """
    from edge.errors import RunError, UsageError

    try:
        rows = [row for task in tasks for row in _lengths(task, demonstrations)]
    except ImportError as error:
        message = f"tokens lengths: {error.name} is missing; install what docs/tasks.md says"
        raise RunError(message) from error
    except ValueError as error:
        raise UsageError(f"TASKS: {error}") from error
    if as_json:
        print(json.dumps({"rows": rows}))
        return
    from edge.commands.benchmarks.tables import print_rows

    print_rows(rows, "tokens per chunk")


def _lengths(task: str, count: int) -> list[dict[str, Any]]:
    from models.recipes import get_recipe
    from models.token_study import UNSEEN_SEED, chunk_lengths, demonstrated_windows

    recipe = get_recipe(task)
    horizon = recipe.tokenizer.action_horizon
    learned, measured = (
        demonstrated_windows(task, recipe.policy, horizon, count, seed) for seed in (0, UNSEEN_SEED)
    )
    return [
        {"task": task, "tokenizer": name, "mean": n.mean, "fewest": n.fewest, "most": n.most}
        for name, n in chunk_lengths(recipe, learned, measured).items()
    ]


def _reconstruct(
    task: str, loaded: dict[Path, Checkpoint], demonstrations: int
) -> list[dict[str, Any]]:
    from models.token_study import error_by_tokens, unseen_windows
    from models.tokenizers.ordered import OrderedTokens

    first = next(iter(loaded.values()))
    policy, horizon = first.policy.config, first.tokenizer.config.action_horizon
    windows = unseen_windows(task, policy, horizon, demonstrations)
    rows = []
    for path, one in loaded.items():
        tokens, facts = OrderedTokens(one.tokenizer), {"task": task, "checkpoint": str(path)}
        facts["nested_dropout"] = one.tokenizer.config.nested_dropout
        for k, error in error_by_tokens(tokens, windows).items():
            trained = k in tokens.prefixes
            rows.append({**facts, "k": k, "trained": trained, "rms": round(error, 5)})
    return rows


def _add_success(
    rows: list[dict[str, Any]], loaded: dict[Path, Checkpoint], episodes: int, workers: int
) -> None:
    """Writes ``episodes``, ``success`` and ``ci95`` into every row."""
    from edge.commands.evaluation.contenders import Source, find_contender
    from models.evaluation import evaluate, processes

    measured = []
    with processes(workers) as apply:
        for path, one in loaded.items():
            contender = find_contender(one.facts["task"], "oat", Source(path))
            ks = list(range(1, contender.most_tokens + 1))
            measured += evaluate(contender.setup, ks, episodes, 1, apply)
    for row, success in zip(rows, measured, strict=True):
        row.update({key: success[key] for key in ("episodes", "success", "ci95")})


def _draw(rows: list[dict[str, Any]], path: Path) -> None:
    from edge.commands.plots.order_figure import save_order_figure

    save_order_figure(rows, path)


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    shown = {"checkpoint": Path(row["checkpoint"]).name, "dropout": row["nested_dropout"]}
    shown |= {"k": row["k"], "trained": "yes" if row["trained"] else "no", "rms": row["rms"]}
    if "success" in row:
        low, high = row["ci95"]
        shown |= {"success": f"{row['success']:.1%}", "95 %": f"{low:.1%} to {high:.1%}"}
    return shown
