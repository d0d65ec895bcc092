"""What is in a recording, and what is odd about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.data.recording import ACTION, Recording

CONSTANT_RANGE = 1e-4
"""A column that moves less is taken as constant in training too (`models.normalizer`)."""

JUMP_FACTOR, JUMP_SHARE = 10.0, 0.1
"""A jump exceeds so many times the column's 99th percentile of steps that are not zero, and this
share of its range."""

SHORT_SHARE = 0.25
"""An episode below this share of the median length is short."""

GAP_SHARE = 0.5
"""A step in time is odd if it is off by more than this share of a period."""


@dataclass(frozen=True)
class Oddity:
    """One finding: its kind, the column or None, how often, and where or how it is worst."""

    kind: str
    column: str | None
    count: int
    detail: str


def inspect(recording: Recording, horizon: int) -> dict[str, Any]:
    """Shapes, rate, ranges, lengths and oddities as JSON values; chunks have `horizon` actions."""
    lengths = recording.lengths
    valid = recording.mask
    return {
        "source": recording.source,
        "rate_hz": recording.rate_hz,
        "steps": recording.steps,
        "episodes": len(lengths),
        "lengths": {
            "min": int(lengths.min()),
            "median": float(np.median(lengths)),
            "max": int(lengths.max()),
        },
        "valid_labels": 1.0 if valid is None else round(float(valid.mean()), 4),
        "columns": {key: _column(recording, key) for key in sorted(recording.columns)},
        "notices": list(recording.notices),
        "odd": [vars(oddity) for oddity in oddities(recording, horizon)],
    }


def oddities(recording: Recording, horizon: int) -> list[Oddity]:
    """Everything that is odd, the worst kinds first."""
    found: list[Oddity] = []
    for check in (_not_finite, _gaps, _jumps, _constant):
        found += check(recording)
    return found + list(_short(recording, horizon))


def _column(recording: Recording, key: str) -> dict[str, Any]:
    values = recording.columns[key].astype(np.float64)
    finite = np.where(np.isfinite(values), values, np.nan)
    blank = np.isnan(finite).all(axis=0)
    finite[:, blank] = 0.0  # a column without any number shows as zeros and as odd

    def rounded(row: np.ndarray) -> list[float]:
        return [float(f"{number:.6g}") for number in row]

    return {
        "size": values.shape[1],
        "names": list(recording.names.get(key, ())),
        "min": rounded(np.nanmin(finite, axis=0)),
        "mean": rounded(np.nanmean(finite, axis=0)),
        "max": rounded(np.nanmax(finite, axis=0)),
    }


def _not_finite(recording: Recording) -> Iterator[Oddity]:
    for label, values in _each(recording):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            where = f"first at {recording.place(int(bad[0]))}"
            yield Oddity("not finite", label, len(bad), where)


def _constant(recording: Recording) -> Iterator[Oddity]:
    for label, values in _each(recording):
        finite = values[np.isfinite(values)]
        if len(finite) and np.ptp(finite) < CONSTANT_RANGE:
            yield Oddity("constant", label, len(values), f"always {finite[0]:.6g}")


def _jumps(recording: Recording) -> Iterator[Oddity]:
    """Steps within an episode that stand far out of the column's others."""
    within = np.ones(recording.steps, dtype=bool)
    within[recording.episode_start] = False
    for label, values in _each(recording):
        steps = np.abs(np.diff(values, prepend=values[0]))
        steps[~within | ~np.isfinite(steps)] = 0.0
        moving = steps[steps > 0]
        finite = values[np.isfinite(values)]
        if len(moving) == 0 or np.ptp(finite) < CONSTANT_RANGE:
            continue
        usual = float(np.percentile(moving, 99))
        limit = max(JUMP_FACTOR * usual, JUMP_SHARE * float(np.ptp(finite)))
        count, worst = int((steps > limit).sum()), int(steps.argmax())
        if count:
            detail = (
                f"largest {steps[worst]:.4g} at {recording.place(worst)}, "
                f"99 % of steps are below {usual:.4g}"
            )
            yield Oddity("jump", label, count, detail)


def _gaps(recording: Recording) -> Iterator[Oddity]:
    """Times that do not go on by one period within an episode."""
    if recording.time_s is None or recording.rate_hz is None:
        return
    period_s = 1.0 / recording.rate_hz
    steps_s = np.diff(recording.time_s, prepend=recording.time_s[0])
    steps_s[recording.episode_start] = period_s
    off = np.abs(steps_s - period_s)
    off[~np.isfinite(off)] = np.inf
    count, worst = int((off > GAP_SHARE * period_s).sum()), int(off.argmax())
    if count:
        detail = f"{steps_s[worst]:.4g} s instead of {period_s:.4g} at {recording.place(worst)}"
        yield Oddity("gap in time", None, count, f"worst {detail}")


def _short(recording: Recording, horizon: int) -> Iterator[Oddity]:
    lengths = recording.lengths
    for kind, least in (
        (f"shorter than a chunk of {horizon}", horizon),
        ("far shorter than the median", SHORT_SHARE * float(np.median(lengths))),
    ):
        short = np.flatnonzero(lengths < least)
        if len(short):
            detail = f"first is episode {short[0]} with {lengths[short[0]]} steps"
            yield Oddity(kind, None, len(short), detail)


def _each(recording: Recording) -> Iterator[tuple[str, np.ndarray]]:
    """Label and values (S,) of every single column, the action's first."""
    for key in sorted(recording.columns, key=lambda key: (key != ACTION, key)):
        values = recording.columns[key].astype(np.float64)
        names = recording.names.get(key, ())
        for element in range(values.shape[1]):
            name = names[element] if names else element
            yield f"{key}[{name}]", values[:, element]
