"""``oat-edge build``: compile a bundle's graphs with TensorRT, into the cache of plans."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edge.bundle import Bundle
    from edge.engines.trt.backend import Backend
    from edge.engines.trt.builder import BuildOptions
    from edge.engines.trt.cache import CachedPlan


def build(
    bundle: Annotated[str, typer.Argument(help="Path of a bundle, or the name of a shipped one.")],
    target: Annotated[str, typer.Option(help="tensorrt or tensorrt-rtx.")] = "tensorrt",
    precision: Annotated[str, typer.Option(help="One that the bundle has.")] = "fp32",
    compute: Annotated[
        str, typer.Option(help="Compute capabilities as in sm86,sm120; default: the GPU here.")
    ] = "",
    cache: Annotated[
        Path | None, typer.Option(help="Directory of the plans; default: the user's cache.")
    ] = None,
    version_compatible: Annotated[
        bool, typer.Option(help="Plans for engine tensorrt-lean, of this and later versions.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object as the last line.")
    ] = False,
) -> None:
    """Compile every graph of a bundle with TensorRT; what is in the cache already is kept."""
    from edge.bundle import load
    from edge.commands.bundles import find_bundle
    from edge.engines.trt.backend import load_backend
    from edge.engines.trt.builder import BuildOptions
    from edge.errors import UsageError

    loaded = load(find_bundle(bundle))
    if precision not in loaded.manifest.graphs:
        have = ", ".join(loaded.manifest.graphs)
        raise UsageError(f"--precision is {precision!r}, the bundle has {have}")
    if target == "tensorrt-lean" or (version_compatible and target != "tensorrt"):
        raise UsageError(
            f"--target is {target!r}: plans for tensorrt-lean are built by --target tensorrt "
            "--version-compatible"
        )
    backend = load_backend(target)
    names = tuple(name.strip().lower() for name in compute.split(",") if name.strip())
    options = BuildOptions(names, version_compatible)
    started_ns = time.monotonic_ns()
    plans = _build(loaded, precision, backend, options, cache)
    seconds = (time.monotonic_ns() - started_ns) / 1e9
    if as_json:
        facts = {"target": target, "version": backend.version, "compute": list(names)}
        print(json.dumps({**report(plans, seconds), **facts, "precision": precision}))
    else:
        _print_table(f"{loaded.manifest.name} {precision} for {backend}", plans)


def report(plans: dict[str, CachedPlan], seconds: float) -> dict[str, Any]:
    """What was built: sums, and per graph; ``seconds`` is how long all of it took now."""
    graphs = {
        graph: {
            "bytes": len(item.plan.content),
            "nodes": item.plan.nodes,
            "build_seconds": round(item.plan.seconds, 3),
            "cached": item.hit,
            "file": str(item.file),
        }
        for graph, item in plans.items()
    }
    return {
        "built": True,
        "bytes": sum(len(item.plan.content) for item in plans.values()),
        "seconds": round(seconds, 3),
        "nodes": sum(item.plan.nodes for item in plans.values()),
        "graphs": graphs,
    }


def _build(
    bundle: Bundle, precision: str, backend: Backend, options: BuildOptions, cache: Path | None
) -> dict[str, CachedPlan]:
    """The plans, with a progress bar on standard error while they are built."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    from edge.engines.trt.plans import bundle_plans

    columns = ("{task.fields[graph]}", BarColumn(24), TextColumn("{task.fields[phase]}"))
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(graph: str, phase: str, done: int, steps: int) -> None:
            if graph not in tasks:
                tasks[graph] = bars.add_task("", graph=f"{graph:12}", phase="")
            bars.update(tasks[graph], completed=done, total=max(steps, 1), phase=phase)

        return bundle_plans(bundle, precision, backend, options, cache, show)


def _print_table(title: str, plans: dict[str, CachedPlan]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    table.add_column("graph")
    for heading in ("nodes", "KiB", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("cache")
    for graph, item in plans.items():
        plan = item.plan
        state = "hit" if item.hit else f"built: {item.rebuilt_because}"
        kibibytes = f"{len(plan.content) // 1024}"
        table.add_row(graph, str(plan.nodes), kibibytes, f"{plan.seconds:.2f}", state)
    console = Console()
    console.print(table)
    console.print(f"plans: {next(iter(plans.values())).file.parent}", soft_wrap=True)
