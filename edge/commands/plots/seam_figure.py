"""The figure of one seam: the command before and after the runtime's handling, with its limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edge.commands.benchmarks.seam_replay import Replay
from edge.commands.plots import style
from edge.robot import Robot
from edge.safety import Limits
from firmware_bridge.messages import Float64Array

LEAD_MS, TRAIL_MS = 60.0, 180.0
HEADROOM = 1.35  # of a limit: what is beyond is cut off, and its peak stands in the title
DOTS_PER_INCH = 160
ROUGHNESS = (("velocity", "rad/s"), ("acceleration", "rad/s²"), ("jerk", "rad/s³"))


def save_seam_figure(replays: list[Replay], robot: Robot, path: Path) -> None:
    """Draw the seam with the largest raw step; the file's suffix says the format.

    Raises OSError where the file cannot be written, ValueError for a format that is not known or
    where there is no seam.
    """
    with rc_context(style.RC):
        draw_seam(replays, robot).savefig(path, dpi=DOTS_PER_INCH, facecolor="white")


def draw_seam(replays: list[Replay], robot: Robot) -> Figure:
    """Position and its three derivatives of the joint that would jump most."""
    one, tick, joint = roughest_seam(replays)
    figure = Figure(figsize=(7.2, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(4, 1, sharex=True, height_ratios=[1.3, 1, 1, 1])
    time_ms = (np.arange(len(one.before)) - tick) * one.period_s * 1e3
    before, after = one.before[:, joint], one.after[:, joint]
    _draw_position(panels[0], time_ms, before, after)
    limits = Limits.of(robot)
    bounds = (limits.velocity_rad_s, limits.acceleration_rad_s2, limits.jerk_rad_s3)
    for axes, (name, unit), bound in zip(panels[1:], ROUGHNESS, bounds, strict=True):
        before = _differences(before, one.period_s)
        after = _differences(after, one.period_s)
        _draw_bounded(axes, time_ms, before, after, float(bound[joint]), f"{name}, {unit}")
    for axes in panels:
        axes.axvline(0.0, color=style.FAINT, linewidth=0.8, linestyle=(0, (2, 2)))
    panels[-1].set(xlim=(-LEAD_MS, TRAIL_MS), xlabel="time since the chunk came, ms")
    recording = one.recording
    figure.suptitle(
        f"{robot.joints[joint].name}: the seam with the largest raw step "
        f"(k = {recording.prefix}, seed {recording.seed})",
        x=0.01,
        ha="left",
        fontsize=10,
    )
    return figure


def roughest_seam(replays: list[Replay]) -> tuple[Replay, int, int]:
    """Replay, tick and joint of the seam with the largest raw step. Raises ValueError for none."""
    found = [(one, tick) for one in replays for tick in one.seams]
    if not found:
        raise ValueError("no chunk followed another: there is no seam to draw")

    def steps(one: Replay, tick: int) -> Float64Array:
        size: Float64Array = np.abs(one.before[tick] - one.before[tick - 1])
        return size

    one, tick = max(found, key=lambda item: float(steps(*item).max()))
    return one, tick, int(steps(one, tick).argmax())


def _differences(values: Float64Array, period_s: float) -> Float64Array:
    """Backward differences, as long as ``values``; the first is 0."""
    slope: Float64Array = np.diff(values, prepend=values[:1]) / period_s
    return slope


def _draw_position(axes: Any, time_ms: Any, before: Any, after: Any) -> None:
    shown = (time_ms >= -LEAD_MS) & (time_ms <= TRAIL_MS)
    axes.plot(time_ms[shown], before[shown], color=style.LATE, linewidth=1.0, label="raw")
    axes.plot(time_ms[shown], after[shown], color=style.TOKEN, linewidth=1.6, label="as sent")
    axes.set_title("position, rad")
    axes.legend(loc="best", ncols=2)


def _draw_bounded(
    axes: Any, time_ms: Any, before: Any, after: Any, limit: float, title: str
) -> None:
    shown = (time_ms >= -LEAD_MS) & (time_ms <= TRAIL_MS)
    for side in (-limit, limit):
        axes.axhline(side, color=style.NOTE, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.step(time_ms[shown], before[shown], color=style.LATE, linewidth=1.0, where="post")
    axes.step(time_ms[shown], after[shown], color=style.TOKEN, linewidth=1.6, where="post")
    axes.set_ylim(-HEADROOM * limit, HEADROOM * limit)
    peaks = [float(np.abs(values[shown]).max()) for values in (before, after)]
    raw, sent = (f"{peak:,.1f}" if peak < 100 else f"{peak:,.0f}" for peak in peaks)
    axes.set_title(f"{title}: raw up to {raw}, as sent {sent}, limit {limit:,g}")
