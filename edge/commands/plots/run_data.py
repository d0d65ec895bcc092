"""What the figure of a run shows, as plain arrays: times in s and ms, angles in rad."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.errors import RunError, UsageError
from edge.ladder import Mode, Rung
from edge.log_reader import Log, Records
from edge.rates import NS_PER_MS, NS_PER_S
from edge.records import plan_dtype

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time on one rung, s."""

    start_s: float
    end_s: float
    rung: Rung


@dataclass(frozen=True, slots=True)
class Plans:
    """Per plan: when its chunk came (s), its prefix length, and whether it missed its deadline."""

    time_s: Array
    prefix: npt.NDArray[np.int32]
    late: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RunData:
    """One run or one of its episodes. ``command_rad``, ``measured_rad``: shape (ticks, joints).

    A command is NaN where none was sent. ``episodes_s``: when the policy took over, each time;
    ``servo_ms`` and ``planner_ms``: durations by stage, in the order of the data flow.
    """

    joints: tuple[str, ...]
    time_s: Array
    command_rad: Array
    measured_rad: Array
    spans: tuple[Span, ...]
    episodes_s: tuple[float, ...]
    plans: Plans
    tokens: int
    servo_ms: dict[str, Array]
    planner_ms: dict[str, Array]


def run_data(log: Log, episode: int | None = None) -> RunData:
    """The whole log, or one episode of it, from the moment that the policy takes over.

    Raises RunError for a log without ticks, UsageError for an episode that it does not hold.
    """
    if len(log.ticks) == 0:
        raise RunError("no servo ticks in it: the run ended before the servo began")
    ticks = log.ticks if episode is None else _episode(log.ticks, episode)
    start_ns, end_ns = int(ticks["due_ns"][0]), int(ticks["due_ns"][-1])
    published_ns = log.plans["published_ns"]
    plans = log.plans[(published_ns >= start_ns) & (published_ns <= end_ns)]
    time_s = (ticks["due_ns"] - start_ns) / NS_PER_S
    sent = ticks["sent"].astype(bool)[:, None]
    return RunData(
        joints=log.joints,
        time_s=time_s,
        command_rad=np.where(sent, ticks["command"], np.nan),
        measured_rad=ticks["measured"],
        spans=_spans(ticks, time_s),
        episodes_s=tuple(time_s[index] for index in _policy_starts(ticks)),
        plans=Plans(
            (plans["published_ns"] - start_ns) / NS_PER_S,
            plans["prefix"],
            plans["late"].astype(bool),
        ),
        tokens=plan_tokens(log.plans),
        servo_ms=_servo_stages(ticks),
        planner_ms=_planner_stages(plans),
    )


def plan_tokens(plans: Records) -> int:
    """How many tokens a full plan has."""
    return int((plans.dtype if len(plans) else plan_dtype(8))["token_ns"].shape[0])


def _episode(ticks: Records, episode: int) -> Records:
    under_policy = ticks["mode"] == Mode.POLICY
    chosen: Records = ticks[under_policy & (ticks["episode"] == episode)]
    if len(chosen) == 0:
        last = int(ticks["episode"][under_policy].max(initial=0))
        raise UsageError(f"--episode is {episode}, the log holds 1 to {last}")
    return chosen


def _spans(ticks: Records, time_s: Array) -> tuple[Span, ...]:
    """Runs of ticks on the same rung; each ends where the next begins."""
    rungs = ticks["rung"]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(rungs)) + 1])
    ends = np.append(starts[1:], len(rungs) - 1)
    return tuple(
        Span(float(time_s[start]), float(time_s[end]), Rung(int(rungs[start])))
        for start, end in zip(starts, ends, strict=True)
    )


def _policy_starts(ticks: Records) -> npt.NDArray[np.intp]:
    under_policy = (ticks["mode"] == Mode.POLICY).astype(int)
    return np.flatnonzero(np.diff(under_policy, prepend=0) == 1)


def _servo_stages(ticks: Records) -> dict[str, Array]:
    engaged = ticks[ticks["rung"] != Rung.DISENGAGED]
    stages = {"wake-up": "late_ns", "read": "read_ns", "decide": "decide_ns", "write": "write_ns"}
    return {stage: engaged[name] / NS_PER_MS for stage, name in stages.items()}


def _planner_stages(plans: Records) -> dict[str, Array]:
    """``start``: until the planner began; ``other tokens``: all but the first, where there were."""
    token_ns = plans["token_ns"]
    several = plans["prefix"] > 1
    stages = {
        "start": plans["started_ns"] - plans["observed_ns"],
        "prefill": plans["prefill_ns"],
        "first token": token_ns[:, 0],
        "other tokens": token_ns[several, 1:].sum(axis=1),
        "decode": plans["decode_ns"],
        "whole plan": plans["published_ns"] - plans["observed_ns"],
    }
    return {stage: times / NS_PER_MS for stage, times in stages.items()}
