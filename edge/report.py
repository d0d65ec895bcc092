"""The figures of a run, gathered from the servo's ticks and the planner's plans."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.bus_figures import BusFigures
from edge.histogram import Histogram
from edge.ladder import Rung
from edge.rates import NS_PER_MS, NS_PER_S, NS_PER_US, period_ns
from edge.robot import Robot
from edge.safety import Limits
from edge.shared_memory import Records
from edge.stages import Stage
from firmware_bridge.messages import Float64Array

TOLERANCE = 1e-6  # differences of differences of float64: rounding, far below any limit
RECENT = 400  # ticks and plans that a live view is about
_NO_TICK = -2  # neither a tick's number nor next to one

Flags = npt.NDArray[np.bool_]


class LimitAudit:
    """Checks the commands that were sent against all limits, independently of the safety filter."""

    def __init__(self, limits: Limits, period_s: float) -> None:
        self.violations = 0
        self.max_step_rad = 0.0
        self._limits = limits
        self._period_s = period_s
        self._tick = _NO_TICK  # of the newest command; what follows is of it, too
        unknown = np.full_like(limits.lower_rad, np.nan)
        self._command, self._velocity, self._acceleration = unknown, unknown, unknown
        self._beyond_before = np.zeros_like(unknown)

    def add(self, ticks: Records) -> None:
        """Audit ticks, in order: position always, the rest against the ticks before.

        An arm that was found beyond a limit may move back, not further out.
        """
        if not len(ticks):
            return
        sent = ticks["sent"] != 0
        position = np.where(sent[:, None], ticks["command"], ticks["measured"])
        outside = self._found_outside(position) | self._found_too_fast(ticks, sent)
        self.violations += int((outside.any(axis=1) & sent).sum())

    def _found_outside(self, position_rad: Float64Array) -> Flags:
        beyond = self._beyond(position_rad)
        before = np.vstack((self._beyond_before, beyond[:-1]))
        self._beyond_before = beyond[-1]
        return beyond > np.maximum(before, TOLERANCE)

    def _found_too_fast(self, ticks: Records, sent: Flags) -> Flags:
        """Differences over consecutive ticks; unknown after a gap, and so within every limit."""
        numbers = np.where(sent, ticks["tick"], _NO_TICK)
        gap = np.diff(numbers, prepend=self._tick) != 1
        gap |= numbers == _NO_TICK  # nothing was sent
        step = np.diff(ticks["command"], axis=0, prepend=self._command[None])
        step[gap] = np.nan
        velocity = step / self._period_s
        acceleration = np.diff(velocity, axis=0, prepend=self._velocity[None]) / self._period_s
        jerk = np.diff(acceleration, axis=0, prepend=self._acceleration[None]) / self._period_s
        self._tick, self._command = int(numbers[-1]), ticks["command"][-1].copy()
        self._velocity, self._acceleration = velocity[-1], acceleration[-1]
        self.max_step_rad = max(self.max_step_rad, float(np.abs(step[~gap]).max(initial=0.0)))
        limits, slack = self._limits, 1 + TOLERANCE
        outside: Flags = np.abs(velocity) > limits.velocity_rad_s * slack
        outside |= np.abs(acceleration) > limits.acceleration_rad_s2 * slack
        outside |= np.abs(jerk) > limits.jerk_rad_s3 * slack
        return outside

    def _beyond(self, position_rad: Float64Array) -> Float64Array:
        """How far each joint is beyond its nearer limit; negative within."""
        beyond: Float64Array = np.maximum(
            self._limits.lower_rad - position_rad, position_rad - self._limits.upper_rad
        )
        return beyond


class Report:
    """Counts over a run, in bounded memory. ``late_ticks``: sent after the next tick was due.

    ``late_stages`` says which stage made them so; ``spin_core_share`` is what punctual wake-ups
    cost of one core. ``recent_late_ns`` and ``recent_plan_ns`` are of the newest ``RECENT`` ticks
    and plans.
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
        self.recent_late_ns: deque[int] = deque(maxlen=RECENT)
        self.recent_plan_ns: deque[int] = deque(maxlen=RECENT)
        self._recent_begins: deque[tuple[int, int]] = deque(maxlen=RECENT)
        self._period_ns = period_ns(robot.servo.rate_hz)
        self._lateness, self._ages = Histogram(), Histogram()
        self._plan_times, self._plan_ages = Histogram(), Histogram()
        self._buses = BusFigures(tuple(robot.buses))
        self._audit = LimitAudit(Limits.of(robot), 1.0 / robot.servo.rate_hz)

    def add_ticks(self, ticks: Records) -> None:
        """Count servo ticks, in order; those before engaging count for nothing."""
        self._audit.add(ticks)
        begins_ns = ticks["due_ns"] + ticks["late_ns"]
        self._recent_begins.extend(zip(ticks["tick"].tolist(), begins_ns.tolist(), strict=True))
        ticks = ticks[ticks["rung"] != Rung.DISENGAGED]
        if not len(ticks):
            return
        self.ticks += len(ticks)
        self.spun_ns += int(ticks["spun_ns"].sum())
        self._buses.add(ticks)
        self.skipped = int(ticks["skipped"][-1])
        self.rungs.update(Rung(rung).label for rung in ticks["rung"].tolist())
        late = ticks[ticks["overrun"] != 0]
        self.late_ticks += len(late)
        self.late_stages.update(Stage(stage).label for stage in late["slow_stage"].tolist())
        self.recent_late_ns.extend(ticks["late_ns"].tolist())
        self._lateness.add(ticks["late_ns"])
        self._ages.add(ticks["state_age_ns"])
        self._plan_ages.add(ticks["plan_age_ns"][ticks["rung"] <= Rung.TAIL])

    def add_plans(self, plans: Records) -> None:
        """Count plans, in order."""
        taken_ns = plans["published_ns"] - plans["observed_ns"]
        self.plans += len(plans)
        self.late_plans += int(plans["late"].sum())
        self.prefixes.update(plans["prefix"].tolist())
        self.recent_plan_ns.extend(taken_ns.tolist())
        self._plan_times.add(taken_ns)

    @property
    def rate_hz(self) -> float | None:
        """The servo's rate as achieved over its newest ticks; None before the second."""
        if len(self._recent_begins) < 2:
            return None
        (first, begun_ns), (last, now_ns) = self._recent_begins[0], self._recent_begins[-1]
        return (last - first) * NS_PER_S / (now_ns - begun_ns) if now_ns > begun_ns else None

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
            "wake_late_p50_us": self._lateness.quantile_in(NS_PER_US, 0.5),
            "wake_late_p99_us": self._lateness.quantile_in(NS_PER_US, 0.99),
            "spin_core_share": self.spin_core_share,
            "plans": self.plans,
            "late_plan_share": self.late_plans / self.plans if self.plans else None,
            "plan_p50_us": self._plan_times.quantile_in(NS_PER_US, 0.5),
            "plan_p99_us": self._plan_times.quantile_in(NS_PER_US, 0.99),
            "mean_prefix": round(mean, 3) if mean is not None else None,
            "prefix_counts": {str(k): self.prefixes[k] for k in sorted(self.prefixes)},
            "ladder": {r.label: self.rungs[r.label] for r in Rung if self.rungs[r.label]},
            "max_command_step_rad": self._audit.max_step_rad,
            "limit_violations": self._audit.violations,
            "observation_age_p99_ms": self._ages.quantile_in(NS_PER_MS, 0.99),
            "plan_age_p99_ms": self._plan_ages.quantile_in(NS_PER_MS, 0.99),
            "planner_restarts": self.planner_restarts,
            "buses": self._buses.summary(),
        }
