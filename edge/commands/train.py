"""``oat-edge train``: demonstrations, tokenizer, policy, checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edge.errors import RunError, UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from models.recipes import Recipe
    from models.training import Progress


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="What to train, such as viperx-lift, or custom: whatever --data holds."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Where the checkpoint goes.")] = None,
    demonstrations: Annotated[int | None, typer.Option(min=2, help="How many to make.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Recorded demonstrations; see data inspect.")
    ] = None,
    rate_hz: Annotated[
        float | None, typer.Option(min=1, max=1000, help="Of custom data that says none.")
    ] = None,
    tokenizer: Annotated[
        Literal["paper", "conditioned", "observed"] | None,
        typer.Option(
            help="What it sees besides chunks: nothing, the previous command, the whole "
            "observation. The recipe's if left out."
        ),
    ] = None,
    nested_dropout: Annotated[
        str | None, typer.Option(help="Which prefixes are trained; the recipe's if left out.")
    ] = None,
    tokenizer_steps: Annotated[int | None, typer.Option(min=1)] = None,
    policy_steps: Annotated[int | None, typer.Option(min=1)] = None,
    policy: Annotated[
        str, typer.Option(help="oat, or a rival: bin, fast, quest, vq, diffusion, mlp.")
    ] = "oat",
    compute: Annotated[
        float,
        typer.Option(min=1e-4, help="Times the recipe's own; rivals get as many operations."),
    ] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Replaces the recipe's seed.")] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint to train on from; its tokenizer only if --tokenizer-steps is given."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted training.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch; 1 is reproducible.")] = 1,
) -> None:
    """Train a tokenizer and a policy from scratch; model cards have the shipped weights' commands.

    A rival (--policy) is trained on the same data and with the same compute as oat, counted as
    floating-point operations of the training steps. Under torchrun, all its processes train one
    model together.
    """
    from dataclasses import replace

    from rich.console import Console

    try:
        import torch

        from models import distributed
        from models.data.errors import DataError
        from models.recipes import scaled, shortened, with_nested_dropout, with_tokenizer
        from models.rivals import RIVALS
        from models.tasks.missing import MissingError
    except ImportError as error:
        raise RunError(f"train: {error.name} is missing; install oat-edge[train]") from error
    torch.set_num_threads(threads)
    distributed.start()
    console = Console(quiet=not distributed.leads())
    if policy not in ("oat", *RIVALS):
        raise typer.BadParameter(f"--policy is {policy!r}, allowed are oat, {', '.join(RIVALS)}")
    if policy != "oat" and (tokenizer_steps or policy_steps):
        raise typer.BadParameter("a rival's steps follow from --compute, they cannot be given")
    if start is not None and policy != "oat":
        raise typer.BadParameter(f"--start is for oat, not {policy!r}")
    try:
        named = _named(recipe, data, rate_hz)
        if tokenizer is not None:
            named = with_tokenizer(named, tokenizer)
        named = with_nested_dropout(named, nested_dropout)
        own = scaled(named, compute) if policy == "oat" else named
        chosen = shortened(own, tokenizer_steps, policy_steps)
    except DataError as error:
        raise RunError(f"train: {error}") from error
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    chosen = replace(
        chosen,
        seed=chosen.seed if seed is None else seed,
        demonstrations=chosen.demonstrations if demonstrations is None else demonstrations,
    )
    out = out or Path("runs") / (chosen.name if policy == "oat" else f"{chosen.name}-{policy}")
    try:
        if data is None:
            data = out.with_name(f"{out.name}.training") / "demonstrations.npz"
            if distributed.leads() and not (resume and data.exists()):
                _demonstrate(chosen.task, chosen.demonstrations, chosen.seed, data, console)
            distributed.wait()
        training = _train(
            chosen, policy, compute, data, out, (start, tokenizer_steps is None), resume, console
        )
    except MissingError as error:
        raise UsageError(f"train: {error}") from error
    except ValueError as error:
        raise RunError(f"train: {error}") from error
    if "reconstruction_rms_rad" in training:
        errors = {int(k): f"{v:.4f}" for k, v in training["reconstruction_rms_rad"].items()}
        console.print(f"reconstruction error, RMS rad by prefix: {errors}")
    console.print(f"checkpoint: {out}")


def _named(recipe: str, data: Path | None, rate_hz: float | None) -> Recipe:
    """The recipe. Raises DataError for custom data that does not do, ValueError for its name."""
    from models.custom_recipe import CUSTOM, custom_recipe
    from models.recipes import get_recipe
    from models.tasks import get_task
    from models.tasks.outside.task import PREFIXES

    if recipe != CUSTOM and not recipe.startswith(PREFIXES):
        return get_recipe(recipe)
    if recipe != CUSTOM:
        get_task(recipe)
    if data is None:
        raise ValueError(f"recipe {recipe!r} needs --data")
    return custom_recipe(data, rate_hz, recipe)


def _demonstrate(task: str, count: int, seed: int, path: Path, console: Console) -> None:
    import os

    from models.tasks import get_task

    with console.status(f"{count} demonstrations of {task}"):
        made = get_task(task).generate(count, seed, workers=os.cpu_count() or 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        made.save(path)


def _train(
    recipe: Recipe,
    policy: str,
    compute: float,
    data: Path,
    out: Path,
    start: tuple[Path | None, bool],
    resume: bool,
    console: Console,
) -> dict[str, Any]:
    """What the checkpoint says of its training; ``start``: where from, keeping its tokenizer?"""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from models import checkpoint
    from models.pipeline import train_recipe
    from models.rivals.training import train_rival

    columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn())
    figures = TextColumn("loss {task.fields[loss]:.5f}  validation {task.fields[best]:.5f}")
    with Bars(*columns, figures, TimeRemainingColumn(), console=console) as bars:
        rows: dict[str, TaskID] = {}

        def report(stage: str, progress: Progress) -> None:
            fields = {"loss": progress.loss, "best": progress.best_validation}
            if stage not in rows:
                rows[stage] = bars.add_task(stage, total=progress.steps, **fields)
            bars.update(rows[stage], completed=progress.step, **fields)

        if policy == "oat":
            path, keep = start
            first = None if path is None else checkpoint.load(path)
            result = train_recipe(recipe, data, out, resume, report, first, keep)
        else:
            result = train_rival(recipe, policy, data, out, compute, resume, report)
    training: dict[str, Any] = result.facts["training"]
    return training
