"""``oat-edge bench loop`` as a table."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

ROWS = (("servo", "spinning"), ("frugal", "frugal"), ("cyclictest", "cyclictest"))


def print_loop(result: dict[str, Any]) -> None:
    """One result: lateness of each loop, its ratio to cyclictest's, core time and the host's."""
    policy = result["scheduler"]["policy"]
    title = f"wake-ups at {result['rate_hz']} Hz · stress {result['stress']} · {policy} · µs late"
    table = Table(title=title, title_justify="left")
    table.add_column("loop")
    for heading in ("p50", "p99", "p99.9", "max", "p99 ratio", "core", "stolen, ms"):
        table.add_column(heading, justify="right")
    extras = {
        "servo": (result["ratio_p99"], result["cpu_share"]),
        "frugal": (result["ratio_p99_frugal"], result["cpu_share_frugal"]),
    }
    for key, name in ROWS:
        if result[key] is not None:
            ratio, core = extras.get(key, (None, None))
            stolen = f"{result['stolen_ms'][key]:.0f}"
            costs = (_plain(ratio, ".3f"), _plain(core, ".1%"), stolen)
            table.add_row(name, *_times(result[key]), *costs)
    console = Console()
    console.print(table)
    console.print(
        f"spinning takes {result['core_share']:.1%} of one core "
        f"(woken {result['slack_us']:.0f} µs before a tick)"
    )
    for warning in result["warnings"]:
        console.print(f"[yellow]{warning}")


def _times(lateness: dict[str, float]) -> list[str]:
    return [f"{value:.1f}" for value in lateness.values()]


def _plain(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)
