"""``oat-edge doctor``: is this machine fit for a punctual robot, and if not, what mends it?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edge.doctor.finding import Finding
    from edge.doctor.wake_up import WakeUps

BAR_WIDTH = 40
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "absent": "dim"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    seconds: Annotated[
        float, typer.Option(min=0, max=60, help="Of measured wake-ups; 0 leaves them out.")
    ] = 2.0,
) -> None:
    """Look over this machine for a punctual robot; exit code 1 if something fails."""
    from edge.doctor import wake_up
    from edge.doctor.checkup import examine, healthy
    from edge.system_files import SystemFiles

    findings = examine(SystemFiles())
    wake_ups = wake_up.measure(seconds) if seconds else None
    if wake_ups is not None:
        findings += wake_up.examine(wake_ups)
    if as_json:
        print(json.dumps(_report(findings, wake_ups, healthy(findings))))
    else:
        _print(findings, wake_ups)
    raise typer.Exit(0 if healthy(findings) else 1)


def _report(findings: list[Finding], wake_ups: WakeUps | None, healthy: bool) -> dict[str, Any]:
    report: dict[str, Any] = {
        "healthy": healthy,
        "findings": [finding.as_json() for finding in findings],
    }
    if wake_ups is not None:
        report["wake_up"] = {
            "p50_us": wake_ups.quantile_us(0.5),
            "p99_us": wake_ups.quantile_us(0.99),
            "max_us": wake_ups.lateness_ns[-1] / 1000,
            "histogram_us": wake_ups.histogram(),
            "warnings": list(wake_ups.warnings),
        }
    return report


def _print(findings: list[Finding], wake_ups: WakeUps | None) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table(title="oat-edge doctor", title_justify="left", box=None, pad_edge=False)
    for heading in ("", "what", "found"):
        table.add_column(heading, header_style="dim", overflow="fold")
    area = ""
    for finding in findings:
        if finding.area != area:
            table.add_row("", "", "")
            table.add_row("", f"[bold]{finding.area}", "")
            area = finding.area
        status = finding.status.value
        style = STYLES[status]
        table.add_row(f"[{style}]{status}", finding.name, escape(finding.value))
        if finding.fix:
            table.add_row("", "", f"[cyan]→ {escape(finding.fix)}")
    console.print(table)
    if wake_ups is not None:
        console.print(_histogram(wake_ups))


def _histogram(wake_ups: WakeUps) -> Any:
    from rich.table import Table

    counts = wake_ups.histogram()
    most = max(counts.values())
    table = Table(title="wake-ups by lateness, µs", show_header=False, box=None)
    table.add_column("", justify="right")
    table.add_column("")
    table.add_column("", justify="right")
    for name, count in counts.items():
        table.add_row(name, "█" * round(BAR_WIDTH * count / most), str(count))
    return table
