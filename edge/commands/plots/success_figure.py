"""The figure of ``eval``: success by tokens per chunk; a line for who cannot stop early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edge.commands.plots import style

DOTS_PER_INCH = 160
COLOURS = ("#2f6f9f", "#d9782d", "#5a8f3c", "#8e5ea2", "#b08c2e", "#c0392b", "#22313f", "#8a8f98")
DASHES = ((0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))


def save_success_figure(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw and write it. Raises OSError, or ValueError for a format that is not known."""
    with rc_context(style.RC):
        draw_success(rows).savefig(path, dpi=DOTS_PER_INCH, facecolor="white")


def draw_success(rows: list[dict[str, Any]]) -> Figure:
    """One panel; a policy's points with their intervals, or its level where k is null."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for index, policy in enumerate(dict.fromkeys(row["policy"] for row in rows)):
        own = [row for row in rows if row["policy"] == policy]
        colour = COLOURS[index % len(COLOURS)]
        if own[0]["k"] is None:
            dashes = DASHES[index % len(DASHES)]
            axes.axhline(own[0]["success"], color=colour, linestyle=dashes, label=_label(own[0]))
        else:
            _draw_points(axes, own, colour, policy)
    _dress(axes, rows)
    return figure


def _draw_points(axes: Any, rows: list[dict[str, Any]], colour: str, label: str) -> None:
    share = [row["success"] for row in rows]
    below = [max(0.0, row["success"] - row["ci95"][0]) for row in rows]
    above = [max(0.0, row["ci95"][1] - row["success"]) for row in rows]
    look: dict[str, Any] = {"color": colour, "marker": "o", "markersize": 4.0, "linewidth": 1.4}
    ks = [row["k"] for row in rows]
    axes.errorbar(ks, share, yerr=[below, above], capsize=2.5, label=label, **look)


def _label(row: dict[str, Any]) -> str:
    tokens = row["tokens_per_chunk"]
    return row["policy"] if tokens is None else f"{row['policy']}, {tokens:g} tokens"


def _dress(axes: Any, rows: list[dict[str, Any]]) -> None:
    prefixes = sorted({row["k"] for row in rows if row["k"] is not None})
    if prefixes:
        axes.set_xscale("log", base=2)
        axes.set_xticks(prefixes, [str(k) for k in prefixes])
        axes.minorticks_off()
        axes.set_xlabel("tokens decoded, k")
    else:
        axes.set_xticks([])
    episodes = min(row["episodes"] for row in rows)
    axes.set_ylim(-0.04, 1.06)
    axes.set_title(f"{rows[0]['task']}: success, {episodes} episodes or more a point, 95 %")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
