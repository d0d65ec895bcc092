"""The figure of a parity report: action error and token agreement by precision and k."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edge.commands.plots import style

DOTS_PER_INCH = 160
COLOURS = ("#22313f", "#2f6f9f", "#d9782d", "#5a8f3c", "#8e5ea2", "#b08c2e")
MARKERS = ("o", "s", "^", "D", "v", "P")
ERROR, WORST, AGREEMENT = "action_error_p99_rad", "action_error_max_rad", "token_agreement"


def save_parity_figure(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    """Draw and write the figure; its format is the file's suffix.

    Raises OSError where the file cannot be written, ValueError for a format that is not known.
    """
    with rc_context(style.RC):
        draw_parity_figure(rows, title).savefig(path, dpi=DOTS_PER_INCH, facecolor="white")


def draw_parity_figure(rows: list[dict[str, Any]], title: str) -> Figure:
    """Error on the left (99th percentile, and the largest as a faint line), agreement right."""
    figure = Figure(figsize=(8.4, 3.3), layout="constrained")
    FigureCanvasAgg(figure)
    error, agreement = figure.subplots(1, 2)
    precisions = list(dict.fromkeys(row["precision"] for row in rows))
    for index, precision in enumerate(precisions):
        own = [row for row in rows if row["precision"] == precision]
        look: dict[str, Any] = {"color": COLOURS[index % len(COLOURS)], "linewidth": 1.4}
        mark: dict[str, Any] = {"marker": MARKERS[index % len(MARKERS)], "markersize": 4.5}
        _line(error, own, ERROR, **look, **mark, label=precision)
        _line(error, own, WORST, **look | {"linewidth": 0.8}, alpha=0.55, linestyle=(0, (3, 2)))
        _line(agreement, own, AGREEMENT, **look, **mark, label=precision)
    _dress(error, rows, "action error against torch, rad: p99, and dashed the largest")
    error.set_yscale("log")
    _dress(agreement, rows, "share of the first k tokens that are torch's")
    agreement.margins(y=0.12)
    agreement.ticklabel_format(axis="y", useOffset=False)
    agreement.legend(loc="best")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def _line(axes: Any, rows: list[dict[str, Any]], name: str, **look: Any) -> None:
    points = [(row["k"], row[name]) for row in rows if name in row]
    if points:
        axes.plot(*zip(*points, strict=True), **look)


def _dress(axes: Any, rows: list[dict[str, Any]], title: str) -> None:
    prefixes = sorted({row["k"] for row in rows})
    axes.set_xscale("log", base=2)
    axes.set_xticks(prefixes, [str(k) for k in prefixes])
    axes.minorticks_off()
    axes.set(title=title, xlabel="prefix length k")
