"""``oat-edge train``: demonstrations, tokenizer, policy, checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from models.recipes import Recipe
    from models.training import Progress


def train(
    recipe: Annotated[str, typer.Argument(help="What to train, such as viperx-lift.")],
    out: Annotated[Path | None, typer.Option(help="Where the checkpoint goes.")] = None,
    demonstrations: Annotated[int | None, typer.Option(min=2, help="How many to make.")] = None,
    data: Annotated[Path | None, typer.Option(help="Demonstrations (.npz) made before.")] = None,
    tokenizer: Annotated[
        Literal["conditioned", "paper"],
        typer.Option(help="Whether chunks are conditioned on the previous command."),
    ] = "conditioned",
    tokenizer_steps: Annotated[int | None, typer.Option(min=1)] = None,
    policy_steps: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Replaces the recipe's seed.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted training.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch; 1 is reproducible.")] = 1,
) -> None:
    """Train a tokenizer and a policy from scratch; the defaults reproduce the shipped weights."""
    from dataclasses import replace

    from rich.console import Console

    console = Console()
    try:
        import torch

        from models.recipes import get_recipe, shortened
    except ImportError as error:
        console.print(
            f"train needs the extra 'train': pip install 'oat-edge[train]' ({error.name})"
        )
        raise typer.Exit(1) from error
    torch.set_num_threads(threads)
    try:
        chosen = shortened(
            get_recipe(recipe, tokenizer == "conditioned"), tokenizer_steps, policy_steps
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    chosen = replace(
        chosen,
        seed=chosen.seed if seed is None else seed,
        demonstrations=chosen.demonstrations if demonstrations is None else demonstrations,
    )
    out = out or Path("runs") / chosen.name
    if data is None:
        data = out.with_name(f"{out.name}.training") / "demonstrations.npz"
        if not (resume and data.exists()):
            _demonstrate(chosen.task, chosen.demonstrations, chosen.seed, data, console)
    try:
        errors = _train(chosen, data, out, resume, console)
    except ValueError as error:
        typer.echo(f"train: {error}", err=True)
        raise typer.Exit(1) from error
    console.print(f"reconstruction error, RMS rad by prefix: {errors}")
    console.print(f"checkpoint: {out}")


def _demonstrate(task: str, count: int, seed: int, path: Path, console: Console) -> None:
    import os

    from models.tasks import get_task

    with console.status(f"{count} demonstrations of {task}"):
        made = get_task(task).generate(count, seed, workers=os.cpu_count() or 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        made.save(path)


def _train(recipe: Recipe, data: Path, out: Path, resume: bool, console: Console) -> dict[int, str]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from models.pipeline import train_recipe

    columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn())
    figures = TextColumn("loss {task.fields[loss]:.5f}  validation {task.fields[best]:.5f}")
    with Bars(*columns, figures, TimeRemainingColumn(), console=console) as bars:
        rows: dict[str, TaskID] = {}

        def report(stage: str, progress: Progress) -> None:
            fields = {"loss": progress.loss, "best": progress.best_validation}
            if stage not in rows:
                rows[stage] = bars.add_task(stage, total=progress.steps, **fields)
            bars.update(rows[stage], completed=progress.step, **fields)

        result = train_recipe(recipe, data, out, resume, report)
    errors = result.facts["training"]["reconstruction_rms_rad"]
    return {int(k): f"{v:.4f}" for k, v in errors.items()}
