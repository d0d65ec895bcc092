"""The report of ``bench seams`` as a table in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

HEADINGS = {
    "velocity_rad_s": "velocity, rad/s",
    "acceleration_rad_s2": "acceleration, rad/s²",
    "jerk_rad_s3": "jerk, rad/s³",
}


def print_seams(report: dict[str, Any]) -> None:
    """One row per joint: raw, as sent, and the limit."""
    table = Table(
        title=f"{report['seams']} seams of {report['bundle']['name']} · raw → sent / limit",
        caption=_caption(report),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("joint")
    for heading in HEADINGS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for joint in report["departure_rad"]:
        table.add_row(joint, *(_cell(report, quantity, joint) for quantity in HEADINGS))
    Console().print(table)


def _cell(report: dict[str, Any], quantity: str, joint: str) -> str:
    before, after = (report["joints"][side][quantity][joint] for side in ("before", "after"))
    limit = report["limits"][quantity][joint]
    return f"{_short(before)} → {_short(after)} / {_short(limit)}"


def _short(value: float) -> str:
    """Three figures; thousands as k."""
    return f"{value / 1000:.3g}k" if value >= 1000 else f"{value:.3g}"


def _caption(report: dict[str, Any]) -> str:
    kept = "every limit is kept" if report["within_limits"] else "A LIMIT IS EXCEEDED"
    worst = report["worst"]["before"]
    return (
        f"{kept}; raw, {worst['joint']} reaches {worst['share_of_limit']:.0f} times its limit of "
        f"{worst['quantity']} · chunks come {report['arrival_us'] / 1000:g} ms after their "
        f"observation · {report['successes']} of {report['episodes']} episodes succeeded"
    )
