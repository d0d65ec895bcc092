"""The figure of ``bench anytime``: success and time standing still, against the budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edge.commands.plots import style

DOTS_PER_INCH = 160
LEAST_SPAN_S = 0.5
LOOKS = {  # colour, marker, where beside its budget, label
    "anytime": (style.TOKEN, "o", 0.985, "anytime: the longest prefix that fits"),
    "fixed": (style.LATE, "s", 1.0, "fixed k: late where it does not fit"),
    "fixed-no-tail": (style.NOTE, "^", 1.015, "fixed k, and no tail to live on meanwhile"),
}


def save_anytime_figure(report: dict[str, Any], path: Path) -> None:
    """Draw and write it. Raises OSError, or ValueError for a format that is not known."""
    with rc_context(style.RC):
        draw_anytime(report).savefig(path, dpi=DOTS_PER_INCH, facecolor="white")


def draw_anytime(report: dict[str, Any]) -> Figure:
    """Three panels over the same budgets, in ms."""
    figure = Figure(figsize=(7.2, 6.2), layout="constrained")
    FigureCanvasAgg(figure)
    success, stopped, prefix = figure.subplots(3, 1, sharex=True, height_ratios=[1.6, 1, 1])
    for policy, (colour, marker, beside, label) in LOOKS.items():
        rows = [row for row in report["rows"] if row["policy"] == policy]
        if rows:
            look = {"color": colour, "marker": marker, "markersize": 4.0, "linewidth": 1.4}
            budgets = [row["budget_us"] / 1000 * beside for row in rows]
            _draw_success(success, budgets, rows, look, label)
            stopped.plot(budgets, [row["stopped_s"] for row in rows], **look)
            prefix.plot(budgets, [row["mean_k"] for row in rows], **look)
    _label(figure, report, (success, stopped, prefix))
    return figure


def _draw_success(
    axes: Any, budgets: list[float], rows: list[dict[str, Any]], look: dict[str, Any], label: str
) -> None:
    share = [row["success"] for row in rows]
    below = [max(0.0, row["success"] - row["ci95"][0]) for row in rows]
    above = [max(0.0, row["ci95"][1] - row["success"]) for row in rows]
    axes.errorbar(budgets, share, yerr=[below, above], capsize=2.5, label=label, **look)


def _label(figure: Any, report: dict[str, Any], panels: tuple[Any, Any, Any]) -> None:
    success, stopped, prefix = panels
    tokens = report["tokens"]
    episodes = min(row["episodes"] for row in report["rows"])
    success.set_title(f"success, {episodes} episodes a point, 95 % intervals")
    success.set_ylim(-0.04, 1.06)
    figure.legend(loc="outside lower left", ncols=len(LOOKS), fontsize=7.5)
    stopped.set_title("standing still or slowing down, mean s per episode")
    longest_s = max(row["stopped_s"] for row in report["rows"])
    stopped.set_ylim(-0.03 * LEAST_SPAN_S, max(LEAST_SPAN_S, 1.1 * longest_s))
    prefix.set_title("mean prefix length")
    prefix.set(ylim=(0, tokens + 0.6), xscale="log", xlabel="budget from observation to chunk, ms")
    for axes in panels:
        for k, plan_us in report["profile_us"].items():
            axes.axvline(plan_us / 1000, color=style.FAINT, linewidth=0.8, linestyle=(0, (2, 2)))
            if axes is prefix:
                axes.annotate(
                    f"k = {k}, as profiled",
                    (plan_us / 1000, 0.4),
                    fontsize=7,
                    color=style.NOTE,
                    rotation=90,
                    ha="right",
                    va="bottom",
                )
    ticks = sorted({row["budget_us"] / 1000 for row in report["rows"]})
    prefix.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    prefix.minorticks_off()
    figure.suptitle(_title(report), x=0.01, ha="left", fontsize=10)


def _title(report: dict[str, Any]) -> str:
    slowdown = report["slowdown"]
    device = (
        "at this machine's speed" if slowdown == 1 else f"on a device {slowdown:g} times slower"
    )
    return f"{report['task']} in closed loop {device}: same weights, same starts"
