"""The figures of a run, gathered from the servo's ticks and the planner's plans."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from edge.bus_figures import BusFigures
from edge.ladder import Rung
from edge.rates import NS_PER_MS, NS_PER_US, period_ns
from edge.robot import Robot
from edge.safety import Limits
from edge.shared_memory import Record
from edge.stages import Stage
from firmware_bridge.messages import Float64Array

TOLERANCE = 1e-6  # differences of differences of float64: rounding, far below any limit


class LimitAudit:
    """Checks the commands that were sent against all limits, independently of the safety filter."""

    def __init__(self, limits: Limits, period_s: float) -> None:
        self.violations = 0
        self.max_step_rad = 0.0
        self._limits = limits
        self._period_s = period_s
        self._tick = -1
        self._command = np.zeros_like(limits.lower_rad)
        self._velocity = np.zeros_like(limits.lower_rad)
        self._acceleration = np.zeros_like(limits.lower_rad)
        self._worst_beyond = np.full_like(limits.lower_rad, TOLERANCE)

    def add(self, tick: Record) -> None:
        """Audit one tick: position always, the rest against the ticks before it.

        An arm that was found beyond a limit may move back, not further out.
        """
        if not tick["sent"]:
            self._tick = -1
            self._worst_beyond = np.maximum(self._beyond(tick["measured"]), TOLERANCE)
            return
        command = tick["command"]
        limits = self._limits
        outside = self._beyond(command) > self._worst_beyond
        velocity = acceleration = np.full_like(command, np.nan)  # unknown after a gap
        if int(tick["tick"]) == self._tick + 1:
            velocity = (command - self._command) / self._period_s
            acceleration = (velocity - self._velocity) / self._period_s
            jerk = (acceleration - self._acceleration) / self._period_s
            outside |= np.abs(velocity) > limits.velocity_rad_s * (1 + TOLERANCE)
            outside |= np.abs(acceleration) > limits.acceleration_rad_s2 * (1 + TOLERANCE)
            outside |= np.abs(jerk) > limits.jerk_rad_s3 * (1 + TOLERANCE)
            self.max_step_rad = max(self.max_step_rad, float(np.abs(command - self._command).max()))
        self.violations += int(outside.any())
        self._worst_beyond = np.maximum(self._beyond(command), TOLERANCE)
        self._tick = int(tick["tick"])
        self._command, self._velocity, self._acceleration = command.copy(), velocity, acceleration

    def _beyond(self, position_rad: Float64Array) -> Float64Array:
        """How far each joint is beyond its nearer limit; negative within."""
        beyond: Float64Array = np.maximum(
            self._limits.lower_rad - position_rad, position_rad - self._limits.upper_rad
        )
        return beyond


class Report:
    """Counts over a run. ``late_ticks``: their command left after the next tick was due.

    ``late_stages`` says which stage made them so; ``spin_core_share`` is what punctual wake-ups
    cost of one core.
    """

    def __init__(self, robot: Robot) -> None:
        self.episodes = 0
        self.successes = 0
        self.ticks = 0
        self.late_ticks = 0
        self.late_stages: Counter[str] = Counter()
        self.skipped = 0
        self.spun_ns = 0
        self.plans = 0
        self.late_plans = 0
        self.planner_restarts = 0
        self.prefixes: Counter[int] = Counter()
        self.rungs: Counter[str] = Counter()
        self.lateness_ns: list[int] = []
        self.plan_ns: list[int] = []
        self._period_ns = period_ns(robot.servo.rate_hz)
        self._ages_ns: list[int] = []
        self._plan_ages_ns: list[int] = []
        self._buses = BusFigures(tuple(robot.buses))
        self._audit = LimitAudit(Limits.of(robot), 1.0 / robot.servo.rate_hz)

    def add_tick(self, tick: Record) -> None:
        """Count one servo tick; those before engaging count for nothing."""
        self._audit.add(tick)
        rung = Rung(int(tick["rung"]))
        if rung is Rung.DISENGAGED:
            return
        self.ticks += 1
        self.late_ticks += int(tick["overrun"])
        if tick["overrun"]:
            self.late_stages[Stage(int(tick["slow_stage"])).label] += 1
        self.spun_ns += int(tick["spun_ns"])
        self._buses.add(tick)
        self.skipped = int(tick["skipped"])
        self.rungs[rung.label] += 1
        self.lateness_ns.append(int(tick["late_ns"]))
        self._ages_ns.append(int(tick["state_age_ns"]))
        if rung <= Rung.TAIL:
            self._plan_ages_ns.append(int(tick["plan_age_ns"]))

    def add_plan(self, plan: Record) -> None:
        """Count one plan."""
        self.plans += 1
        self.late_plans += int(plan["late"])
        self.prefixes[int(plan["prefix"])] += 1
        self.plan_ns.append(int(plan["published_ns"]) - int(plan["observed_ns"]))

    @property
    def mean_prefix(self) -> float | None:
        """Mean prefix length over all plans; None before the first."""
        if not self.plans:
            return None
        return sum(prefix * count for prefix, count in self.prefixes.items()) / self.plans

    @property
    def spin_core_share(self) -> float | None:
        """Share of one core that was spun to be punctual; None before the first tick."""
        if not self.ticks:
            return None
        return round(self.spun_ns / (self.ticks * self._period_ns), 4)

    def summary(self) -> dict[str, Any]:
        """Everything as plain JSON values; quantiles are null where nothing was counted."""
        mean = self.mean_prefix
        return {
            "episodes": self.episodes,
            "successes": self.successes,
            "ticks": self.ticks,
            "late_ticks": self.late_ticks,
            "late_stages": {
                s.label: self.late_stages[s.label] for s in Stage if s.label in self.late_stages
            },
            "skipped_ticks": self.skipped,
            "wake_late_p50_us": quantile(self.lateness_ns, 0.5, NS_PER_US),
            "wake_late_p99_us": quantile(self.lateness_ns, 0.99, NS_PER_US),
            "spin_core_share": self.spin_core_share,
            "plans": self.plans,
            "late_plan_share": self.late_plans / self.plans if self.plans else None,
            "plan_p50_us": quantile(self.plan_ns, 0.5, NS_PER_US),
            "plan_p99_us": quantile(self.plan_ns, 0.99, NS_PER_US),
            "mean_prefix": round(mean, 3) if mean is not None else None,
            "prefix_counts": {str(k): self.prefixes[k] for k in sorted(self.prefixes)},
            "ladder": {r.label: self.rungs[r.label] for r in Rung if self.rungs[r.label]},
            "max_command_step_rad": self._audit.max_step_rad,
            "limit_violations": self._audit.violations,
            "observation_age_p99_ms": quantile(self._ages_ns, 0.99, NS_PER_MS),
            "plan_age_p99_ms": quantile(self._plan_ages_ns, 0.99, NS_PER_MS),
            "planner_restarts": self.planner_restarts,
            "buses": self._buses.summary(),
        }


def quantile(values_ns: list[int], share: float, unit_ns: int) -> float | None:
    """A quantile of times in another unit, to three decimals; None of nothing."""
    if not values_ns:
        return None
    return round(float(np.quantile(np.asarray(values_ns), share)) / unit_ns, 3)
