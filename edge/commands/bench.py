"""``oat-edge bench``: measurements of this device, one verb each."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from edge.commands.bench_bus import bus
from edge.commands.bench_motion import anytime, seams
from edge.commands.options import whole_numbers

ENOUGH_FOR_P99 = 300

bench_app = typer.Typer(help="Measure this device.", no_args_is_help=True)


@bench_app.callback()
def _root() -> None:
    """Keeps verbs as verbs even where there is only one."""


@bench_app.command()
def inference(
    bundle: Annotated[str, typer.Argument(help="A shipped bundle, or a directory.")] = (
        "viperx-lift"
    ),
    engines: Annotated[str, typer.Option(help="Comma-separated.")] = "native,ort",
    precisions: Annotated[
        str | None, typer.Option(help="Comma-separated; all of the bundle's if left out.")
    ] = None,
    baseline: Annotated[str, typer.Option(help="torch: plain eager code; or none.")] = "torch",
    pin: Annotated[int | None, typer.Option(min=0, help="Keep to this core.")] = None,
    plans: Annotated[int, typer.Option("--n", min=1, help="Plans per row.")] = ENOUGH_FOR_P99,
    seconds: Annotated[float, typer.Option(min=0, help="Stop after so long, with fewer.")] = 50.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time whole plans, from an observation to actions, for each engine and prefix length."""
    from edge.commands.benchmarks.device import pin as pin_to
    from edge.commands.bundles import find_bundle

    path = find_bundle(bundle)
    if pin is not None:
        pin_to(pin)  # before a runtime is imported and starts its threads
    from edge.commands.benchmarks.inference import bench_inference

    report = bench_inference(path, engines, precisions, baseline, plans, seconds)
    fewest = min(row["n"] for row in report["rows"])
    if fewest < ENOUGH_FOR_P99:
        note = f"p99 of {fewest} plans says little; {ENOUGH_FOR_P99} or more are better"
        print(f"oat-edge: {note}", file=sys.stderr)
    if as_json:
        print(json.dumps(report))
    else:
        from edge.commands.benchmarks.tables import print_inference

        print_inference(report)


@bench_app.command()
def deadline(
    budgets_us: Annotated[str, typer.Option(help="Comma-separated.")] = "400,800,1600,3200",
    stress: Annotated[
        str, typer.Option(help="Comma-separated: none, cpu, memory, throttle.")
    ] = "none,cpu,memory,throttle",
    plans: Annotated[int, typer.Option("--n", min=100, help="Plans per row.")] = 1_500,
    robot: Annotated[str, typer.Option(help="Whose planner settings.")] = "viperx",
    bundle: Annotated[str | None, typer.Option(help="A shipped bundle, or a directory.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure whether plans keep their deadline under load, beside an oracle with hindsight."""
    from edge.commands.benchmarks.deadline import run
    from edge.commands.bundles import find_bundle
    from edge.commands.session_directory import session_directory
    from edge.robot import load_robot

    loaded = load_robot(robot)
    path = find_bundle(bundle or loaded.bundle)
    budgets = whole_numbers("--budgets-us", budgets_us)
    with session_directory() as directory:
        rows = run(loaded, path, directory, budgets, stress.split(","), plans)
    if as_json:
        print(json.dumps({"rows": rows}))
        return
    from edge.commands.benchmarks.tables import print_rows

    print_rows(rows, "plans and their deadlines")


@bench_app.command()
def loop(
    rate: Annotated[int, typer.Option(min=10, max=1_000, help="Ticks per second.")] = 200,
    seconds: Annotated[float, typer.Option(min=0.1, max=3_600, help="For each loop.")] = 20.0,
    against: Annotated[str, typer.Option(help="cyclictest, or none.")] = "cyclictest",
    stress: Annotated[
        str,
        typer.Option(
            help="Comma-separated: none; planner at full load; one that fails: crash, hang, memory."
        ),
    ] = "none",
    robot: Annotated[str, typer.Option(help="Whose servo and planner settings.")] = "viperx",
    bundle: Annotated[str | None, typer.Option(help="What the stressing planner runs.")] = None,
    core: Annotated[int | None, typer.Option(min=0, help="Keep the loops to this core.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure how late the servo's loop wakes, spinning and frugal, in turns with cyclictest."""
    from edge.commands.benchmarks.loop import run
    from edge.commands.benchmarks.loop_table import print_loop
    from edge.commands.bundles import find_bundle
    from edge.robot import load_robot

    loaded = load_robot(robot)
    stresses = stress.split(",")
    path = find_bundle(bundle or loaded.bundle) if stresses != ["none"] else None
    results = run(loaded, rate, seconds, against, stresses, path, core)
    if as_json:
        print(json.dumps(results[0] if len(results) == 1 else {"runs": results}))
        return
    for result in results:
        print_loop(result)


bench_app.command()(seams)
bench_app.command()(anytime)
bench_app.command()(bus)
