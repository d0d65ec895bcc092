"""``oat-edge eval``: success of policies on a task, by number of tokens, in simulated time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.commands.options import save_plot, whole_numbers

if TYPE_CHECKING:
    from edge.commands.evaluation.contenders import Contender
    from models.outcome_log import OutcomeLog


def evaluate(
    task: Annotated[str, typer.Argument(help="Such as viperx-lift.")],
    policy: Annotated[
        str,
        typer.Option(help="By comma: oat, bin, fast, quest, vq, diffusion, mlp, expert."),
    ] = "oat",
    k: Annotated[str, typer.Option("--k", help="Tokens a chunk, by comma, for oat.")] = "1,2,4,8",
    episodes: Annotated[int, typer.Option(min=1, max=10_000, help="Starts of each seed.")] = 50,
    seeds: Annotated[int, typer.Option(min=1, max=1_000, help="Seeds 0, 1, … of starts.")] = 1,
    checkpoint: Annotated[
        Path | None, typer.Option(help="What train wrote, in place of what ships; torch runs it.")
    ] = None,
    bundle: Annotated[str | None, typer.Option(help="For oat: shipped, or a directory.")] = None,
    engine: Annotated[str, typer.Option(help="What runs a bundle.")] = "ort",
    precision: Annotated[str, typer.Option(help="Of a bundle; fp32 if left out.")] = "",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes; one core each.")] = 1,
    ray: Annotated[
        str | None,
        typer.Option("--ray", help="Address of a Ray cluster to run on; local starts one here."),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="Outcomes by start (.jsonl); those in it are not run again.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Figure: .png, .pdf or .svg.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Count successes from unseen starts; planning takes no simulated time.

    For oat a row per --k; policies that cannot stop early have one row, k null. metaworld-10 has
    rows for each of its ten tasks, then their means.
    """
    from edge.commands.evaluation.contenders import Source, find_contender
    from edge.commands.evaluation.several_tasks import means
    from edge.errors import RunError, UsageError
    from models.ray_map import ClusterError
    from models.tasks import get_task, rolled_out
    from models.tasks.missing import MissingError
    from models.tasks.outside.task import OutsideTask

    try:
        chosen = get_task(task)
        if isinstance(chosen, OutsideTask):
            chosen.make_plant()
    except ValueError as error:
        raise UsageError(f"TASK: {error}") from error
    names = list(dict.fromkeys(policy.split(",")))
    if len(names) > 1 and checkpoint is not None:
        raise UsageError(f"--checkpoint goes with one --policy, got {policy!r}")
    source = Source(checkpoint, bundle, engine, precision)
    prefixes = whole_numbers("--k", k)
    tasks = rolled_out(task)
    contenders = [find_contender(one, name, source) for name in names for one in tasks]
    runs = [(contender, _ks(contender, prefixes)) for contender in contenders]
    try:
        rows = _evaluate(runs, episodes, seeds, workers, ray, log)
    except (MissingError, ClusterError) as error:
        raise UsageError(f"eval: {error}") from error
    except ValueError as error:
        raise RunError(f"eval: {error}") from error
    if len(tasks) > 1:
        rows += means(rows, task)
    if plot is not None:
        save_plot(plot, lambda: _draw([row for row in rows if row["task"] == task], plot))
    if as_json:
        print(json.dumps({"rows": rows}))
    else:
        from edge.commands.benchmarks.tables import print_rows

        shown = [_readable(row, len(tasks) > 1) for row in rows]
        print_rows(shown, f"{task} · in simulated time")


def _ks(contender: Contender, prefixes: Sequence[int]) -> list[int | None]:
    """What to ask of a contender. Raises UsageError for more tokens than it has."""
    from edge.errors import UsageError

    most = contender.most_tokens
    if most == 0:
        return [None]
    for prefix in prefixes:
        if prefix > most:
            raise UsageError(f"--k is {prefix}, allowed is 1 to {most}")
    return list(prefixes)


def _evaluate(
    runs: Sequence[tuple[Contender, list[int | None]]],
    episodes: int,
    seeds: int,
    workers: int,
    ray: str | None,
    log: Path | None,
) -> list[dict[str, Any]]:
    from rich.console import Console
    from rich.progress import Progress

    from models.evaluation import evaluate as evaluate_one
    from models.evaluation import processes
    from models.ray_map import cluster

    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        notes = None if log is None else stack.enter_context(_open_log(log))
        where = processes(workers) if ray is None else cluster(ray, workers)
        apply = stack.enter_context(where)
        bars = stack.enter_context(Progress(console=Console(stderr=True)))
        for contender, ks in runs:
            total = len(ks) * episodes * seeds
            bar = bars.add_task(contender.setup.policy, total=total)
            rows += evaluate_one(
                contender.setup, ks, episodes, seeds, apply, partial(bars.advance, bar), notes
            )
    return rows


def _open_log(path: Path) -> OutcomeLog:
    """Raises UsageError for a file of another kind."""
    from edge.errors import UsageError
    from models.outcome_log import OutcomeLog

    try:
        return OutcomeLog(path)
    except (ValueError, OSError) as error:
        raise UsageError(f"--log: {error}") from error


def _draw(rows: list[dict[str, Any]], path: Path) -> None:
    from edge.commands.plots.success_figure import save_success_figure

    save_success_figure(rows, path)


def _readable(row: dict[str, Any], several: bool) -> dict[str, Any]:
    low, high = row["ci95"]
    return {
        **({"task": row["task"]} if several else {}),
        "policy": row["policy"],
        "k": row["k"],
        "episodes": row["episodes"],
        "success": f"{row['success']:.1%}",
        "95 %": f"{low:.1%} to {high:.1%}",
        "tokens": row["tokens_per_chunk"],
        "undecodable": f"{row['undecodable']} of {row['plans']}" if row["plans"] else None,
    }
