"""The figure of a run: every joint, the rung, the prefix length, and where the time went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from edge.commands.plots import style
from edge.commands.plots.panels import (
    draw_joint,
    draw_prefix,
    draw_rungs,
    draw_stages,
    rungs_shown,
)
from edge.commands.plots.run_data import RunData
from edge.ladder import Rung

COLUMNS = 2
WIDTH_IN, ROW_IN, STAGES_IN = 10.0, 1.35, 1.4
HEAD_IN, BETWEEN_IN, FOOT_IN = 0.72, 0.72, 0.58
LEFT, RIGHT, BETWEEN_COLUMNS = 0.085, 0.93, 0.42
BAND = 0.13  # height of the rung's band, in rows
DOTS_PER_INCH = 160


def save_run_figure(data: RunData, title: str, path: Path) -> None:
    """Draw and write the figure; its format is the file's suffix.

    Raises OSError where the file cannot be written, ValueError for a format that is not known.
    """
    with rc_context(style.RC):
        draw_run_figure(data, title).savefig(path, dpi=DOTS_PER_INCH, facecolor="white")


def draw_run_figure(data: RunData, title: str) -> Figure:
    """The figure, with all its panels, in the style that is in force; it can be drawn at once."""
    rows = -(-(len(data.joints) + 1) // COLUMNS)
    height = HEAD_IN + rows * ROW_IN + BETWEEN_IN + STAGES_IN + FOOT_IN
    figure = Figure(figsize=(WIDTH_IN, height))
    FigureCanvasAgg(figure)
    columns = {"left": LEFT, "right": RIGHT, "wspace": BETWEEN_COLUMNS}
    over_time = figure.add_gridspec(
        rows + 1,
        COLUMNS,
        height_ratios=[BAND, *[1.0] * rows],
        top=1 - HEAD_IN / height,
        bottom=(FOOT_IN + STAGES_IN + BETWEEN_IN) / height,
        hspace=0.42,
        **columns,
    )
    stages = figure.add_gridspec(
        1, COLUMNS, top=(FOOT_IN + STAGES_IN) / height, bottom=FOOT_IN / height, **columns
    )
    _draw_over_time(figure, over_time, data, rows)
    draw_stages(figure.add_subplot(stages[0]), "servo tick, by stage", data.servo_ms)
    draw_stages(figure.add_subplot(stages[1]), "plan, by stage", data.planner_ms)
    _words(figure, title, data)
    return figure


def _draw_over_time(figure: Any, grid: Any, data: RunData, rows: int) -> None:
    """The rung's band on top of each column; below it the joints, and the prefix length last."""
    span = (float(data.time_s[0]), max(float(data.time_s[-1]), float(data.time_s[0]) + 1e-3))
    for column in range(COLUMNS):
        band = figure.add_subplot(grid[0, column])
        draw_rungs(band, data.spans)
        band.set_xlim(span)
    for cell in range(len(data.joints) + 1):
        row, column = cell % rows, cell // rows
        axes = figure.add_subplot(grid[row + 1, column])
        if cell < len(data.joints):
            draw_joint(axes, data, cell)
        else:
            draw_prefix(axes, data.plans, data.tokens)
        for start_s in data.episodes_s:
            axes.axvline(start_s, color=style.FAINT, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.set_xlim(span)
        last = row == rows - 1 or cell == len(data.joints)
        axes.tick_params(labelbottom=last)
        if last:
            axes.set_xlabel("time, s", labelpad=1)


def _words(figure: Any, title: str, data: RunData) -> None:
    height = figure.get_figheight()
    figure.text(LEFT, 1 - 0.2 / height, title, fontsize=10, color=style.INK, va="top")
    note = "durations: dot p50, bar p5 to p95, whisker p99, tick the longest"
    figure.text(LEFT, 0.1 / height, note, fontsize=7, color=style.NOTE)
    figure.legend(
        handles=_handles(data),
        loc="upper left",
        bbox_to_anchor=(LEFT, 1 - 0.42 / height),
        ncols=len(Rung) + 3,
        handlelength=1.3,
        columnspacing=1.4,
        borderpad=0,
        borderaxespad=0,
    )


def _handles(data: RunData) -> list[Any]:
    handles: list[Any] = [
        Line2D([], [], color=style.COMMAND, linewidth=2.6, label="command"),
        Line2D([], [], color=style.MEASURED, linewidth=0.8, label="measured"),
    ]
    if data.plans.late.any():
        late = Line2D([], [], color=style.LATE, marker="X", linestyle="", label="late plan")
        handles.append(late)
    for rung in rungs_shown(data.spans):
        handles.append(Patch(color=style.RUNG_COLOUR[rung], label=f"rung {rung.label}"))
    return handles
