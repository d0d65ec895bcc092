"""``oat-edge bench bus``: how close each protocol's bus comes to what its wire allows."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from edge.commands.options import whole_numbers


def bus(
    protocols: Annotated[str, typer.Option(help="Comma-separated, or all.")] = "all",
    joints: Annotated[str, typer.Option(help="Comma-separated numbers of joints.")] = "1,7",
    cycles: Annotated[int, typer.Option("--n", min=10, max=100_000, help="Cycles per row.")] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time cycles of each protocol against emulated devices on a line paced to its bit rate.

    This process asks the kernel for what the servo asks for, except for its priority.
    """
    from edge.commands.benchmarks.bus import bench_bus, print_bus
    from edge.realtime import configure
    from edge.robot import RealTime

    for warning in configure(RealTime(wake_latency_us=0)):
        typer.echo(warning, err=True)
    report = bench_bus(protocols, whole_numbers("--joints", joints), cycles)
    if as_json:
        print(json.dumps(report))
    else:
        print_bus(report)
