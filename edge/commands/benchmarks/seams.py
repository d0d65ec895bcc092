"""``oat-edge bench seams``: how rough chunk seams are raw, and what the runtime makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge import bundle as bundles
from edge.commands.benchmarks.recorded_chunks import record
from edge.commands.benchmarks.seam_replay import QUANTITIES, Replay, derivatives, replay
from edge.commands.benchmarks.timing import prefixes
from edge.engines import build_engine
from edge.fit import check_fit
from edge.rates import NS_PER_US
from edge.robot import Robot
from edge.safety import Limits
from firmware_bridge.messages import Float64Array
from models.tasks import get_task

ROUNDING = 1e-6  # relative: of differences of positions, thrice
SIDES = ("before", "after")

Figures = dict[str, Float64Array]  # by quantity, (joints,)


def bench_seams(
    robot: Robot, path: Path, seeds: int, arrival_us: int | None
) -> tuple[dict[str, Any], list[Replay]]:
    """The report as JSON values, and the replays that it is of. Raises OatEdgeError.

    ``arrival_us``: from a chunk's observation to its arrival; the planner's budget if None.
    """
    loaded = bundles.load(path)
    check_fit(robot, loaded.manifest, path)
    engine = build_engine(loaded, robot.planner.engine, robot.planner.precision)
    ks = prefixes(loaded.manifest.tokenizer.tokens)
    task = get_task(loaded.manifest.task)
    recordings = record(engine, loaded.manifest, task, ks, range(seeds))
    arrival_us = robot.planner.budget_us if arrival_us is None else arrival_us
    replays = [replay(recording, robot, arrival_us * NS_PER_US) for recording in recordings]
    settings = {
        "bench": "seams",
        "bundle": {"name": loaded.manifest.name, "digest": loaded.digest},
        "robot": robot.name,
        "rate_hz": robot.servo.rate_hz,
        "blend_ms": robot.servo.blend_ms,
        "arrival_us": arrival_us,
        "prefixes": list(ks),
        "seeds": seeds,
    }
    return settings | report(replays, robot), replays


def report(replays: list[Replay], robot: Robot) -> dict[str, Any]:
    """Largest values of both sides over all ticks of all replays, beside the limits.

    ``worst``: of each side, where it comes nearest to a limit or furthest beyond it;
    ``departure_rad``: furthest that the runtime's command is from the raw one.
    """
    limits = Limits.of(robot)
    names = [joint.name for joint in robot.joints]
    allowed = limits_by_quantity(limits, 1.0 / robot.servo.rate_hz)
    largest = {side: _largest([side_figures(one, side) for one in replays]) for side in SIDES}
    departure = np.max([np.abs(one.after - one.before).max(axis=0) for one in replays], axis=0)
    return {
        "episodes": len(replays),
        "successes": sum(one.recording.success for one in replays),
        "seams": sum(len(one.seams) for one in replays),
        **{side: {name: float(largest[side][name].max()) for name in QUANTITIES} for side in SIDES},
        "limits": _by_joint(allowed, names),
        "within_limits": all(within_limits(one.after, one.period_s, limits) for one in replays),
        "worst": {side: _worst(largest[side], allowed, names) for side in SIDES},
        "departure_rad": dict(zip(names, departure.tolist(), strict=True)),
        "joints": {side: _by_joint(largest[side], names) for side in SIDES},
    }


def side_figures(one: Replay, side: str) -> Figures:
    """Largest values of one side of a replay, by quantity, (joints,) each."""
    commands: Float64Array = getattr(one, side)
    return {name: v.max(axis=0) for name, v in derivatives(commands, one.period_s).items()}


def limits_by_quantity(limits: Limits, period_s: float) -> Figures:
    """Limits by quantity, (joints,) each; of a step: the way at full velocity in one period."""
    return {
        "step_rad": limits.velocity_rad_s * period_s,
        "velocity_rad_s": limits.velocity_rad_s,
        "acceleration_rad_s2": limits.acceleration_rad_s2,
        "jerk_rad_s3": limits.jerk_rad_s3,
    }


def within_limits(commands: Float64Array, period_s: float, limits: Limits) -> bool:
    """Whether commands, (ticks, joints) from rest, keep every limit but for rounding."""
    inside = (commands >= limits.lower_rad - ROUNDING) & (commands <= limits.upper_rad + ROUNDING)
    allowed = limits_by_quantity(limits, period_s)
    found = derivatives(commands, period_s)
    kept = [(found[name] <= allowed[name] * (1.0 + ROUNDING)).all() for name in QUANTITIES]
    return bool(inside.all() and all(kept))


def _largest(figures: list[Figures]) -> Figures:
    return {name: np.max([one[name] for one in figures], axis=0) for name in QUANTITIES}


def _by_joint(figures: Figures, names: list[str]) -> dict[str, dict[str, float]]:
    return {name: dict(zip(names, figures[name].tolist(), strict=True)) for name in QUANTITIES}


def _worst(largest: Figures, allowed: Figures, names: list[str]) -> dict[str, Any]:
    """The joint and quantity whose share of its limit is the largest."""
    shares = np.array([largest[name] / allowed[name] for name in QUANTITIES])
    quantity, joint = (int(index) for index in np.unravel_index(shares.argmax(), shares.shape))
    name = QUANTITIES[quantity]
    return {
        "joint": names[joint],
        "quantity": name,
        "value": float(largest[name][joint]),
        "limit": float(allowed[name][joint]),
        "share_of_limit": float(shares[quantity, joint]),
    }
