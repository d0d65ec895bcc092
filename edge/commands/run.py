"""``oat-edge run``: a robot, its policy, and as many episodes as asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

INTERRUPTED = 130  # as shells report a process that SIGINT ended
DEFAULT_ARM_WITHIN_S = 60.0


def run(
    robot: Annotated[str, typer.Argument(help="A built-in robot, or the path of a robot.yaml.")],
    episodes: Annotated[int, typer.Option(min=1, max=100_000)] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the cube's poses.")] = 0,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=86_400, help="Longest episode. [the task's and 2 s; 8 on a real robot]"
        ),
    ] = None,
    budget_us: Annotated[
        int | None, typer.Option(help="Time from an observation to its chunk.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Simulate another task than the robot's; see --bundle.")
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(help="A shipped bundle, or a directory. [the task's]")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="What runs the bundle's graphs.")] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="Which of the bundle's precisions. [the robot's; fp32 without it]"),
    ] = None,
    max_prefix: Annotated[int | None, typer.Option(min=1, help="Never more tokens.")] = None,
    bus: Annotated[
        str | None, typer.Option(help="Protocol of the bus: dynamixel, oatlink.")
    ] = None,
    controller: Annotated[
        str | None, typer.Option(help="What runs oatlink's firmware when emulated: qemu, host.")
    ] = None,
    port: Annotated[list[str] | None, typer.Option(help="BUS=DEVICE, replaces a port.")] = None,
    tracker: Annotated[list[str] | None, typer.Option(help="FEATURE=SOCKET, likewise.")] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Measured joints, as calibrate joints writes them.")
    ] = None,
    engage: Annotated[bool, typer.Option(help="Let a real arm move.")] = False,
    arm_within: Annotated[
        float,
        typer.Option(
            min=0, max=86_400, help="Seconds to wait, after a lost port, to be armed (SIGUSR1)."
        ),
    ] = DEFAULT_ARM_WITHIN_S,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say whether the rates hold; nothing moves.")
    ] = False,
    log: Annotated[Path | None, typer.Option(help="The MCAP log to write.")] = None,
    status_file: Annotated[Path | None, typer.Option(help="A JSON file kept current.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Run a policy on a robot, simulated or real, and report how it went."""
    from edge.commands.launch import RunOptions, launch
    from edge.commands.options import pairs
    from edge.commands.other_task import longest_episode_s, planning_with, with_task
    from edge.robot import load_robot

    planner = _given(budget_us=budget_us, engine=engine, precision=precision)
    loaded = load_robot(
        robot,
        ports=pairs("--port", port),
        sockets=pairs("--tracker", tracker),
        planner=planner,
        bus=_given(protocol=bus, controller=controller),
        calibration=calibration,
    )
    own = loaded.bundle
    if task is not None:
        loaded = with_task(loaded, task)
    name = bundle or loaded.bundle
    if precision is None and name != own:
        loaded = planning_with(loaded, name)
    if dry_run:
        from edge.commands.dry_run import dry_run as report_rates

        report_rates(loaded, name, as_json)
        return
    options = RunOptions(
        episodes=episodes,
        seconds=longest_episode_s(loaded) if seconds is None else seconds,
        seed=seed,
        max_prefix=max_prefix,
        engage=engage,
        arm_within_s=arm_within,
        log=log,
        status_file=status_file,
        show=not as_json and sys.stdout.isatty(),
    )
    summary = launch(loaded, name, options)
    _report(summary, as_json)
    if summary["interrupted"]:
        print("oat-edge: interrupted", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)


def _given(**options: Any) -> dict[str, Any]:
    """Those options that were given."""
    return {key: value for key, value in options.items() if value is not None}


def _report(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary))
        return
    from edge.commands.view import print_summary

    print_summary(summary)
