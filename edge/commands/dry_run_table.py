"""The schedulability report as a table."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

STYLES = {"holds": "bold green", "tight": "bold yellow", "refused": "bold red"}
SHARES = ("p50", "p99", "p999")


def print_report(report: dict[str, Any]) -> None:
    """What a tick and a plan take, beside what they have, and the verdict."""
    console = Console()
    servo = report["servo"]
    console.print(_tick_table(servo))
    console.print(
        f"{servo['utilisation_p99']:.0%} of {servo['period_us']:.0f} µs at p99; "
        f"highest rate that holds: {servo['highest_rate_hz']} Hz\n"
    )
    if report["planner"] is not None:
        console.print(_plan_table(report["planner"]))
        fits = "  ".join(
            f"{_heading(share)} k={report['planner']['prefix'][share]}" for share in SHARES
        )
        console.print(f"longest prefix within {report['planner']['budget_us']} µs: {fits}")
    verdict = report["verdict"]
    console.print(f"[{STYLES[verdict]}]{verdict}")


def _table(title: str, first: str) -> Table:
    table = Table(title=title, title_justify="left", box=None)
    table.add_column(first, header_style="dim")
    for share in SHARES:
        table.add_column(_heading(share), justify="right", header_style="dim")
    return table


def _tick_table(servo: dict[str, Any]) -> Table:
    table = _table(f"tick at {servo['rate_hz']} Hz, µs", "")
    for name, bus in servo["buses"].items():
        table.add_row(f"bus {name}: read, on the wire", *[f"{bus['read_us']:.0f}"] * len(SHARES))
    _measured_row(table, "bus: read, measured", servo["measured_read_us"])
    _measured_row(table, "servo: compute", servo["compute_us"])
    for name, bus in servo["buses"].items():
        table.add_row(f"bus {name}: write, on the wire", *[f"{bus['write_us']:.0f}"] * len(SHARES))
    table.add_row("in all", *[f"{servo['tick_us'][share]:.0f}" for share in SHARES])
    return table


def _measured_row(table: Table, name: str, quantiles: dict[str, float] | None) -> None:
    if quantiles is not None:
        table.add_row(name, *[f"{quantiles[share]:.0f}" for share in SHARES])


def _plan_table(planner: dict[str, Any]) -> Table:
    table = _table(f"plan with {planner['engine']} {planner['precision']}, µs", "tokens")
    for prefix, quantiles in planner["plan_us"].items():
        table.add_row(prefix, *[f"{quantiles[share]:.0f}" for share in SHARES])
    return table


def _heading(share: str) -> str:
    return {"p999": "p99.9"}.get(share, share)
