"""What a person sees who calibrates joints: a live table, or lines where no terminal is."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

KEYS = "Enter: done   s: skip   q: quit, nothing is written"
VIEW_HZ = 10


class CalibrateView(Protocol):
    """Shows one measurement; a context manager."""

    def __enter__(self) -> CalibrateView: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def update(self, prompt: str, notice: str, rows: list[Any]) -> None:
        """Show what is asked for, what is amiss, and the joints as ``calibration.joints.Row``."""


class LiveTable:
    """Redraws in place."""

    def __init__(self) -> None:
        self._live = Live(console=Console(), auto_refresh=False)

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def update(self, prompt: str, notice: str, rows: list[Any]) -> None:
        """See ``CalibrateView.update``."""
        words = (Text(prompt, style="bold"), Text(notice, style="yellow"), Text(KEYS, style="dim"))
        table = [joint_table(rows)] if rows else []
        self._live.update(Group(*table, *words), refresh=True)


class PlainLines:
    """Prints each prompt and each notice once, for scripts and logs."""

    def __init__(self) -> None:
        self._said = ("", "")

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return

    def update(self, prompt: str, notice: str, rows: list[Any]) -> None:
        """See ``CalibrateView.update``."""
        del rows
        before, self._said = self._said, (prompt, notice)
        for line, last in zip(self._said, before, strict=True):
            if line and line != last:
                print(line, flush=True)


def joint_table(rows: list[Any]) -> Table:
    """Angles in degrees, as hands and eyes measure; what is awaited stands out."""
    table = Table(title="joints, degrees", title_justify="left")
    table.add_column("joint")
    for heading in ("servo", "moved", "sense", "joint angle", "lowest", "highest"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.name,
            _degrees(row.motor_rad),
            _degrees(row.moved_rad),
            "+" if row.direction > 0 else "-",
            _degrees(row.joint_rad),
            _degrees(row.low_rad),
            _degrees(row.high_rad),
            style="bold cyan" if row.awaited else "",
        )
    return table


def _degrees(angle_rad: float) -> str:
    return f"{math.degrees(angle_rad):.1f}" if math.isfinite(angle_rad) else "·"
