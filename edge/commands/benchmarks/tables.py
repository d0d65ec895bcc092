"""Reports of benchmarks as tables in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_inference(report: dict[str, Any]) -> None:
    """One row per contender and prefix length."""
    table = Table(
        title=f"one plan, observation to actions · {report['bundle']['name']}",
        caption=_caption(report),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("engine")
    table.add_column("precision")
    for heading in ("k", "actions", "p50 µs", "p99 µs", "max µs", "n", "speed-up"):
        table.add_column(heading, justify="right")
    for index, row in enumerate(report["rows"]):
        times = (f"{row[key]:.0f}" for key in ("p50_us", "p99_us", "max_us"))
        k, decoded, n = (str(row[key]) for key in ("k", "decoded", "n"))
        speedup = _speedup(report["speedup_p50"], row)
        following = report["rows"][index + 1 : index + 2]
        ends = any(_who(row) != _who(other) for other in following)
        table.add_row(*_who(row), k, decoded, *times, n, speedup, end_section=ends)
    Console().print(table)


def _who(row: dict[str, Any]) -> tuple[str, str]:
    return row["engine"], row["precision"]


def _speedup(factors: dict[str, Any], row: dict[str, Any]) -> str:
    factor = factors.get(row["engine"], {}).get(str(row["k"]), {}).get(row["precision"])
    return "" if factor is None else f"{factor:.1f}"


def _caption(report: dict[str, Any]) -> str:
    device = report["device"]
    used = ", ".join(str(core) for core in device["used_cores"])
    versions = device["versions"]
    parts = [device["cpu"], f"cores {used} of {device['cores']}"]
    parts += [f"{name} {versions[name]}" for name in ("onnxruntime", "torch") if versions[name]]
    weights = {row["weights"] for row in report["rows"] if "weights" in row}
    parts += [f"torch with {origin} weights" for origin in weights]
    return " · ".join(parts)


def print_rows(rows: list[dict[str, Any]], title: str) -> None:
    """Rows of equal keys, as they are."""
    table = Table(*(key.replace("_", " ") for key in rows[0]), title=title, title_justify="left")
    for row in rows:
        table.add_row(*("-" if value is None else str(value) for value in row.values()))
    Console().print(table)
