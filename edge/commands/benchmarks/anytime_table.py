"""The report of ``bench anytime`` as a table in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_anytime(report: dict[str, Any]) -> None:
    """One row per budget and policy."""
    table = Table(
        title=f"{report['task']} · {report['bundle']['name']} · {report['device']['cpu']}",
        caption=_caption(report),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("budget, ms", justify="right")
    table.add_column("policy", no_wrap=True)
    for heading in ("success (95 %)", "mean k", "plan, ms", "late", "episode, s", "stopped, s"):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = report["rows"]
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        low, high = row["ci95"]
        table.add_row(
            f"{row['budget_us'] / 1000:g}",
            row["policy"],
            f"{row['success']:.2f} ({low:.2f} to {high:.2f})",
            "-" if row["mean_k"] is None else f"{row['mean_k']:.2f}",
            "-" if row["plan_us_p50"] is None else f"{row['plan_us_p50'] / 1000:.3g}",
            "-" if row["late_share"] is None else f"{row['late_share']:.1%}",
            f"{row['seconds']:.2f}",
            f"{row['stopped_s']:.2f}",
            end_section=following is None or following["budget_us"] != row["budget_us"],
        )
    Console().print(table)


def _caption(report: dict[str, Any]) -> str:
    plans = " · ".join(f"k = {k}: {us / 1000:.3g} ms" for k, us in report["profile_us"].items())
    episodes = min(row["episodes"] for row in report["rows"])
    return f"{report['note']} · profiled plans: {plans} · {episodes} episodes a row"
