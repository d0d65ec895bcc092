"""``oat-edge bus``: what can be said about motor buses without a robot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.commands.bus_latency import latency
from edge.commands.bus_monitor import monitor
from edge.commands.bus_scan import scan
from edge.commands.bus_set_id import set_id

if TYPE_CHECKING:
    from firmware_bridge.protocols import ProtocolSpec

US_PER_S = 1_000_000.0
JOINTS = 7

bus_app = typer.Typer(help="Motor buses and their protocols.", no_args_is_help=True)


@bus_app.callback()
def _root() -> None:
    """Keeps verbs as verbs even where there is only one."""


@bus_app.command()
def protocols(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the installed protocols and what each can do."""
    from firmware_bridge.protocols import load_protocols

    rows = [_row(spec) for spec in load_protocols().values()]
    if as_json:
        print(json.dumps({"protocols": rows}))
        return
    _print_table(rows)


bus_app.command()(scan)
bus_app.command()(monitor)
bus_app.command()(latency)
bus_app.command("set-id")(set_id)


def _row(spec: ProtocolSpec) -> dict[str, Any]:
    wire_us = spec.wire_us(JOINTS)
    return {
        "protocol": spec.name,
        "title": spec.title,
        "wire": spec.wire,
        "fd": spec.wire == "can-fd",
        "joints": JOINTS,
        "wire_us": round(wire_us, 1),
        "max_hz": int(US_PER_S / wire_us),
        "plan_hz": spec.plan_hz,
        "watchdog": spec.watchdog,
        "limits": spec.limits,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Protocols; rates for {JOINTS} joints, setpoints and states in each cycle")
    for title in ("protocol", "devices", "wire", "limit", "plan", "watchdog", "limits"):
        table.add_column(title, overflow="fold")
    for row in rows:
        rates = (f"{row['max_hz']} Hz", f"{row['plan_hz']} Hz")
        table.add_row(
            row["protocol"], row["title"], row["wire"], *rates, row["watchdog"], row["limits"]
        )
    Console().print(table)
