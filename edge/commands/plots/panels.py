"""The panels of a run's figure; each draws on the axes that it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from edge.commands.plots import style
from edge.commands.plots.run_data import Array, Plans, RunData, Span
from edge.ladder import Rung

SMALLEST_SPAN_RAD = 0.2  # a joint that hardly moves is not blown up to fill its panel
BESIDE = 1.18  # right edge of the figures beside a panel, in panel widths
QUANTILES = (0.05, 0.5, 0.95, 0.99)


def draw_rungs(axes: Any, spans: tuple[Span, ...]) -> None:
    """The rung over time, as one coloured band; a span of a single tick is still to be seen."""
    longest_s = max(span.end_s - span.start_s for span in spans) or 1.0
    for span in spans:
        above = 2.0 - (span.end_s - span.start_s) / longest_s
        colour = style.RUNG_COLOUR[span.rung]
        axes.axvspan(span.start_s, span.end_s, color=colour, linewidth=0.7, zorder=above)
    axes.set(yticks=[], ylim=(0, 1))
    axes.grid(visible=False)
    axes.tick_params(bottom=False, labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw_joint(axes: Any, data: RunData, joint: int) -> None:
    """One joint: the command as a wide pale line, the measured position as a thin dark one."""
    axes.plot(data.time_s, data.command_rad[:, joint], color=style.COMMAND, linewidth=2.6)
    axes.plot(data.time_s, data.measured_rad[:, joint], color=style.MEASURED, linewidth=0.8)
    axes.set_title(data.joints[joint])
    axes.set_ylabel("rad")
    low, high = axes.get_ylim()
    if high - low < SMALLEST_SPAN_RAD:
        middle = (low + high) / 2
        axes.set_ylim(middle - SMALLEST_SPAN_RAD / 2, middle + SMALLEST_SPAN_RAD / 2)


def draw_prefix(axes: Any, plans: Plans, tokens: int) -> None:
    """Prefix length of every plan; late plans stand out."""
    in_time = ~plans.late
    axes.vlines(plans.time_s, 0, plans.prefix, color=style.STEM, linewidth=1.0)
    axes.plot(plans.time_s[in_time], plans.prefix[in_time], "o", color=style.TOKEN, markersize=3.2)
    axes.plot(
        plans.time_s[plans.late],
        plans.prefix[plans.late],
        "X",
        color=style.LATE,
        markersize=6,
        markeredgecolor="white",
        markeredgewidth=0.6,
    )
    axes.set_title("prefix length per plan")
    axes.set_ylabel("tokens")
    ticks = [k for k in (1, 2, 4, 8, 16, 32, 64) if k < tokens]
    axes.set(ylim=(0, tokens + 0.8), yticks=[*ticks, tokens])


def draw_stages(axes: Any, title: str, stages_ms: dict[str, Array]) -> None:
    """Quantiles of each stage's duration: dot 50 %, bar 5 to 95 %, whisker to 99 %, tick the most.

    Durations are on a logarithmic axis; those below 1 µs are drawn at 1 µs.
    """
    names = [name for name, times in stages_ms.items() if len(times)]
    if not names:
        axes.set_axis_off()
        axes.set_title(f"{title}: none")
        return
    for row, name in enumerate(names):
        _draw_quantiles(axes, row, np.maximum(stages_ms[name], 1e-3))
    axes.set_title(title)
    axes.set_xlabel("ms", labelpad=1)
    _scale(axes)
    axes.set(yticks=range(len(names)), yticklabels=names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _draw_quantiles(axes: Any, row: int, times_ms: Array) -> None:
    low, middle, high, highest = np.quantile(times_ms, QUANTILES)
    axes.plot([high, highest], [row, row], color=style.TOKEN, linewidth=1.0)
    axes.plot([low, high], [row, row], color=style.COMMAND, linewidth=6, solid_capstyle="butt")
    axes.plot(times_ms.max(), row, "|", color=style.FAINT, markersize=7)
    axes.plot(highest, row, "|", color=style.TOKEN, markersize=7)
    axes.plot(middle, row, "o", color=style.INK, markersize=3.6)
    label = f"{_figures(middle)} / {_figures(highest)}"
    beside = axes.get_yaxis_transform()
    axes.text(
        BESIDE, row, label, transform=beside, va="center", ha="right", fontsize=7, color=style.INK
    )


def _scale(axes: Any) -> None:
    """Logarithmic, with labels at 1, 2 and 5 where decades alone would be too few."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.text(
        BESIDE, 1.03, "p50 / p99", transform=axes.transAxes, ha="right", fontsize=7, color=style.INK
    )


def _figures(value_ms: float) -> str:
    """A duration with as many decimals as it deserves."""
    return f"{value_ms:.{1 if value_ms >= 10 else 2 if value_ms >= 0.1 else 3}f}"


def rungs_shown(spans: tuple[Span, ...]) -> list[Rung]:
    """The rungs that occur, best first."""
    return sorted({span.rung for span in spans})
