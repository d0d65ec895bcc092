"""What a person sees of a run: the live view in the terminal, the summary, the status file."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edge.commands.episodes import Snapshot
from edge.commands.status_file import StatusFile
from edge.ladder import Mode, Rung
from edge.rates import NS_PER_MS, NS_PER_US, VIEW_HZ
from edge.records import reason_of
from edge.report import Report
from edge.robot import Robot
from edge.shared_memory import Record

WIDTH = 80
BAR_WIDTH = 20
OUTCOMES = 20  # the newest, as dots
RUNG_STYLE = {
    Rung.FULL: "bold green",
    Rung.PREFIX: "green",
    Rung.TAIL: "yellow",
    Rung.DECELERATE: "bold yellow",
    Rung.HOLD: "cyan",
    Rung.RAMP: "blue",
    Rung.DISENGAGED: "dim",
    Rung.DRIVE: "magenta",
}


class StatusWatcher:
    """Writes every snapshot to a status file."""

    def __init__(self, file: StatusFile) -> None:
        self._file = file

    def update(self, snapshot: Snapshot) -> None:
        """See ``Watcher.update``."""
        tick = snapshot.tick
        self._file.write(
            {
                "pids": snapshot.pids,
                "rung": _rung(tick).label,
                "mode": Mode(int(tick["mode"])).name.lower() if tick is not None else "idle",
                "reason": reason_of(tick) if tick is not None else "",
                "disarmed": tick is not None and bool(tick["disarmed"]),
                "fresh": tick is not None and bool(tick["fresh"]),
                "episode": snapshot.episode,
                "episodes": snapshot.episodes,
                "successes": snapshot.report.successes,
                "prefix": int(tick["prefix"]) if tick is not None else 0,
                "planner_restarts": snapshot.report.planner_restarts,
            }
        )


class LiveView:
    """Redraws the terminal at ``VIEW_HZ``; a context manager that leaves the last picture."""

    def __init__(self, robot: Robot, tokens: int) -> None:
        self._robot = robot
        self._tokens = tokens
        self._live = Live(Text("starting …"), refresh_per_second=VIEW_HZ)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def update(self, snapshot: Snapshot) -> None:
        """See ``Watcher.update``."""
        self._live.update(self._draw(snapshot))

    def _draw(self, snapshot: Snapshot) -> Panel:
        body = Table.grid(padding=(0, 2))
        body.add_row(self._joints(snapshot.tick), self._figures(snapshot))
        parts: list[Any] = [*_headline(snapshot), "", body]
        if snapshot.events:
            parts += ["", *(_line(event, "dim") for event in snapshot.events)]
        return Panel(Group(*parts), title=self._title(snapshot.report), width=WIDTH)

    def _title(self, report: Report) -> str:
        achieved = "-" if report.rate_hz is None else f"{report.rate_hz:.1f}"
        return f"oat-edge · {self._robot.name} · {achieved} of {self._robot.servo.rate_hz:g} Hz"

    def _joints(self, tick: Record | None) -> Table:
        table = Table(box=None, header_style="dim")
        for heading in ("joint", "measured", "command"):
            table.add_column(heading, justify="left" if heading == "joint" else "right")
        for index, joint in enumerate(self._robot.joints):
            if tick is None:
                table.add_row(joint.name, "-", "-")
                continue
            engaged = _rung(tick) is not Rung.DISENGAGED
            command = f"{tick['command'][index]:+.3f}" if engaged else "-"
            table.add_row(joint.name, f"{tick['measured'][index]:+.3f}", command)
        table.caption = "rad"
        return table

    def _figures(self, snapshot: Snapshot) -> Group:
        report = snapshot.report
        return Group(_timing(report), "", _histogram(report, self._tokens))


def print_summary(summary: dict[str, Any]) -> None:
    """The figures of a finished run, as a table on standard output."""
    table = Table(title="run", show_header=False, box=None, padding=(0, 2))
    buses = {f"bus {name}": figures for name, figures in summary.get("buses", {}).items()}
    rows = {key: value for key, value in summary.items() if key != "buses"} | buses
    for key, value in rows.items():
        shown = (
            ", ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else value
        )
        table.add_row(key.replace("_", " "), "-" if shown is None else str(shown))
    Console().print(table)


def _headline(snapshot: Snapshot) -> tuple[Text, Text]:
    """How the episodes go; on which rung the arm is, and why."""
    episode, rung = _line(), _line()
    done = len(snapshot.outcomes)
    episode.append(f"episode {min(done + 1, snapshot.episodes)}/{snapshot.episodes}  ")
    for outcome in snapshot.outcomes[-OUTCOMES:]:
        episode.append("●" if outcome else "○", style="green" if outcome else "red")
    now = _rung(snapshot.tick)
    rung.append("rung ").append(f"{now.label:<12}", style=RUNG_STYLE[now])
    if snapshot.tick is not None:
        rung.append(reason_of(snapshot.tick), style="dim")
    return episode, rung


def _line(text: str = "", style: str = "") -> Text:
    """A line that is cut rather than wrapped."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _timing(report: Report) -> Group:
    wake_up = _times(report.recent_late_ns, NS_PER_US, "µs")
    plan = _times(report.recent_plan_ns, NS_PER_MS, "ms")
    return Group(
        _line(f"ticks    {report.ticks}  late {report.late_ticks}"),
        _line(f"wake-up  {wake_up}"),
        _line(f"plan     {plan}  late {report.late_plans}"),
    )


def _times(values_ns: Iterable[int], unit_ns: int, unit: str) -> str:
    values = np.array([*values_ns]) / unit_ns
    if not values.size:
        return "-"
    middle, high = np.quantile(values, (0.5, 0.99))
    return f"p50 {middle:.3g}  p99 {high:.4g} {unit}"


def _histogram(report: Report, tokens: int) -> Table:
    """Plans by prefix length."""
    table = Table.grid(padding=(0, 1))
    most = max(report.prefixes.values(), default=1)
    for prefix in range(1, tokens + 1):
        count = report.prefixes[prefix]
        bar = "█" * round(BAR_WIDTH * count / most)
        table.add_row(f"k={prefix}", Text(f"{bar:<{BAR_WIDTH}}", style="green"), f"{count}")
    return table


def _rung(tick: Record | None) -> Rung:
    return Rung.DISENGAGED if tick is None else Rung(int(tick["rung"]))
