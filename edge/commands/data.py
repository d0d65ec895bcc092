"""``oat-edge data``: recorded demonstrations, looked at before they are trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

data_app = typer.Typer(help="Recorded demonstrations.", no_args_is_help=True)


@data_app.callback()
def _root() -> None:
    """Keeps the verb a verb while it is the only one."""


@data_app.command("inspect")
def inspect(
    path: Annotated[
        Path,
        typer.Argument(
            help="A LeRobotDataset v3, a robomimic .hdf5, a .zarr replay buffer or a .npz."
        ),
    ],
    horizon: Annotated[int, typer.Option(min=1, help="Actions in a chunk.")] = 32,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show shapes, rate, ranges and episode lengths, and what is odd: NaN, jumps, gaps, …"""
    from edge.errors import RunError
    from models.data.errors import DataError
    from models.data.formats import read_recording
    from models.data.inspection import inspect as look_at

    try:
        found = look_at(read_recording(path), horizon)
    except DataError as error:
        raise RunError(f"data inspect: {error}") from error
    if as_json:
        print(json.dumps(found))
        return
    _show(found)


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console()
    rate = f"{found['rate_hz']:g} Hz" if found["rate_hz"] else "rate unknown"
    lengths = found["lengths"]
    console.print(found["source"], highlight=False, soft_wrap=True)
    console.print(
        f"{found['episodes']} episodes of {lengths['min']} to {lengths['max']} steps "
        f"(median {lengths['median']:g}), {found['steps']} steps, {rate}, "
        f"{100 * found['valid_labels']:.1f} % valid labels"
    )
    console.print(_columns(found["columns"]))
    for notice in found["notices"]:
        console.print(f"notice: {notice}", markup=False, soft_wrap=True)
    if not found["odd"]:
        console.print("nothing odd")
    for odd in found["odd"]:
        column = f" {odd['column']}" if odd["column"] else ""
        line = f"odd: {odd['kind']}{column}, {odd['count']} times: {odd['detail']}"
        console.print(line, markup=False, soft_wrap=True)


def _columns(columns: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table()
    table.add_column("column")
    for heading in ("min", "mean", "max"):
        table.add_column(heading, justify="right")
    for key, column in columns.items():
        names = column["names"] or range(column["size"])
        for element, name in enumerate(names):
            figures = (f"{column[heading][element]:.4g}" for heading in ("min", "mean", "max"))
            table.add_row(rf"{key}\[{name}]", *figures)
        table.add_section()
    return table
