"""Colours and sizes of the figures: sober, and told apart by colour-blind readers and in print."""

from __future__ import annotations

from typing import Any

from edge.ladder import Rung

INK = "#22313f"
FAINT = "#9aa5b1"
NOTE = "#6b7783"
GRID = "#e4e8ec"
STEM = "#cfd6dd"
COMMAND = "#8fb4d9"
MEASURED = INK
LATE = "#c0392b"
TOKEN = "#2f6f9f"

RUNG_COLOUR = {
    Rung.FULL: "#2f6f9f",
    Rung.PREFIX: "#8fc1e3",
    Rung.TAIL: "#f0c05a",
    Rung.DECELERATE: "#d9782d",
    Rung.HOLD: "#8a8f98",
    Rung.RAMP: "#b9a7d6",
    Rung.DISENGAGED: "#e3e6ea",
    Rung.DRIVE: "#7fb08a",
}

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 4.0,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.linewidth": 0.7,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
}
