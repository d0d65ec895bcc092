"""``oat-edge bench seams`` and ``bench anytime``: the shipped policy in closed loop with its plant.

Simulated time: no port is opened and nothing is waited for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.commands.options import save_plot, whole_numbers

if TYPE_CHECKING:
    from edge.commands.benchmarks.seam_replay import Replay
    from edge.robot import Robot

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Plot = Annotated[Path | None, typer.Option(help="Write a figure: .png, .pdf or .svg.")]


def seams(
    bundle: Annotated[
        str | None, typer.Argument(help="A shipped bundle, or a directory; the robot's if left out")
    ] = None,
    robot: Annotated[str, typer.Option(help="Whose limits, rates and blending.")] = "viperx",
    seeds: Annotated[int, typer.Option(min=1, max=1_000, help="Episodes per prefix length.")] = 5,
    arrival_us: Annotated[
        int | None,
        typer.Option(min=0, help="From observation to chunk; the planner's budget if left out."),
    ] = None,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Replay recorded chunks with raw seams and with the runtime's; check every limit."""
    from edge.commands.benchmarks.seams import bench_seams
    from edge.commands.bundles import find_bundle
    from edge.robot import load_robot

    loaded = load_robot(robot)
    path = find_bundle(bundle or loaded.bundle)
    report, replays = bench_seams(loaded, path, seeds, arrival_us)
    if plot is not None:
        save_plot(plot, lambda: _draw_seam(plot, replays, loaded))
    if as_json:
        print(json.dumps(report))
    else:
        from edge.commands.benchmarks.seam_table import print_seams

        print_seams(report)
    raise typer.Exit(0 if report["within_limits"] else 1)


def anytime(
    task: Annotated[str, typer.Option(help="What the policy is asked to do.")] = "viperx-lift",
    budgets_us: Annotated[str, typer.Option(help="Comma-separated.")] = (
        "400,800,1200,1600,2400,3200"
    ),
    episodes: Annotated[int, typer.Option(min=1, max=10_000, help="Per budget and policy.")] = 50,
    slowdown: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=10_000,
            help="Every stage takes so many times as long as measured: a slower device.",
        ),
    ] = 1.0,
    policies: Annotated[
        str, typer.Option(help="Comma-separated: anytime, fixed, fixed-no-tail.")
    ] = "anytime,fixed",
    bundle: Annotated[str | None, typer.Option(help="A shipped bundle, or a directory.")] = None,
    robot: Annotated[str, typer.Option(help="Whose rates, limits and engine.")] = "viperx",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes; one core each.")] = 2,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Success against the planner's budget: the longest prefix that fits, or all tokens late.

    The runtime's own planner, seam, ladder and safety filter in simulated time, in front of the
    simulated plant. A plan takes the CPU time that its engine calls took as they ran, times
    --slowdown.
    """
    from edge.commands.benchmarks.anytime import Setup, bench_anytime, check_setup
    from edge.commands.bundles import find_bundle
    from edge.robot import load_robot

    setup = Setup(robot, find_bundle(bundle or load_robot(robot).bundle), task, slowdown)
    check_setup(setup)
    budgets = whole_numbers("--budgets-us", budgets_us)
    report = bench_anytime(setup, policies.split(","), budgets, episodes, workers)
    if as_json:
        print(json.dumps(report))
    else:
        from edge.commands.benchmarks.anytime_table import print_anytime

        print_anytime(report)
    if plot is not None:
        save_plot(plot, lambda: _draw_anytime(plot, report))


def _draw_anytime(path: Path, report: dict[str, Any]) -> None:
    from edge.commands.plots.anytime_figure import save_anytime_figure

    save_anytime_figure(report, path)


def _draw_seam(path: Path, replays: list[Replay], robot: Robot) -> None:
    from edge.commands.plots.seam_figure import save_seam_figure

    save_seam_figure(replays, robot, path)
