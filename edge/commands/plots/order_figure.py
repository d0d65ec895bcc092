"""The figure of ``tokens order``: error and success by tokens decoded, a line a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edge.commands.plots import style
from edge.commands.plots.success_figure import COLOURS, DOTS_PER_INCH


def save_order_figure(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw and write it. Raises OSError, or ValueError for a format that is not known."""
    with rc_context(style.RC):
        draw_order(rows).savefig(path, dpi=DOTS_PER_INCH, facecolor="white")


def draw_order(rows: list[dict[str, Any]]) -> Figure:
    """Reconstruction on the left, success with its intervals on the right if it was measured.

    Lengths that nested dropout trained are filled points, the others hollow ones.
    """
    panels = 2 if "success" in rows[0] else 1
    figure = Figure(figsize=(3.6 * panels, 3.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for index, name in enumerate(dict.fromkeys(row["checkpoint"] for row in rows)):
        own = [row for row in rows if row["checkpoint"] == name]
        label = f"{Path(name).name} ({own[0]['nested_dropout']})"
        _line(axes[0], own, "rms", COLOURS[index % len(COLOURS)], label)
        if panels == 2:
            _line(axes[1], own, "success", COLOURS[index % len(COLOURS)], label)
            _intervals(axes[1], own, COLOURS[index % len(COLOURS)])
    axes[0].set_title(f"{rows[0]['task']}: reconstruction, RMS")
    axes[0].set_ylim(0, 1.1 * max(row["rms"] for row in rows))
    axes[0].legend()
    if panels == 2:
        axes[1].set_title(f"success, {rows[0]['episodes']} starts a point, 95 %")
        axes[1].set_ylim(-0.04, 1.06)
    for panel in axes:
        panel.set_xlabel("tokens decoded, k")
        panel.set_xticks(sorted({row["k"] for row in rows}))
    return figure


def _line(axes: Any, rows: list[dict[str, Any]], key: str, colour: str, label: str) -> None:
    ks, values = [row["k"] for row in rows], [row[key] for row in rows]
    axes.plot(ks, values, color=colour, linewidth=1.4, label=label)
    for trained, face in ((True, colour), (False, "white")):
        own = [row for row in rows if row["trained"] is trained]
        points = [row["k"] for row in own], [row[key] for row in own]
        axes.plot(*points, "o", markersize=4.5, color=colour, markerfacecolor=face)


def _intervals(axes: Any, rows: list[dict[str, Any]], colour: str) -> None:
    low, high = zip(*(row["ci95"] for row in rows), strict=True)
    axes.fill_between([row["k"] for row in rows], low, high, color=colour, alpha=0.15, linewidth=0)
