"""``oat-edge bench loop``: how punctual is the servo's loop, beside what the kernel itself can do?

The loop that spins, cyclictest, and the loop that does not, take turns of two seconds, so that all
three meet the same machine. Ratios of p99 lateness are the result; the rest explains them. What a
hypervisor took is told for each loop's turns: it need not be the same for all.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edge.commands.benchmarks.cyclictest import Cyclictest
from edge.commands.benchmarks.lateness import of_histogram, of_samples
from edge.commands.benchmarks.loop_process import LoopProcess, Slice
from edge.commands.benchmarks.planner_faults import FAULTS, faulty_planner
from edge.commands.benchmarks.planner_load import planner_load
from edge.commands.benchmarks.stolen import stolen_ms
from edge.errors import RunError, UsageError
from edge.rates import NS_PER_US, period_ns
from edge.robot import PlannerRates, Robot, ServoRates

YARDSTICKS = ("cyclictest", "none")
STRESSES = ("none", "planner", *FAULTS)
TURN_S = 2.0
WARM_UP_TICKS, WARM_UP_S = 1_000, 5.0  # not counted, the fewer: slack comes down from its maximum


def run(
    robot: Robot,
    rate_hz: int,
    seconds: float,
    against: str,
    stresses: list[str],
    path: Path | None = None,
    core: int | None = None,
) -> list[dict[str, Any]]:
    """One result for each kind of stress; each of the loops is measured for ``seconds``.

    ``path``: the bundle that the stressing planner runs; ``core``: where the loops are kept, the
    robot's own if None. Raises UsageError, RunError.
    """
    _check("--against", against, YARDSTICKS)
    for stress in stresses:
        _check("--stress", stress, STRESSES)
    changes = {"rate_hz": rate_hz} | ({"core": core} if core is not None else {})
    settings = ServoRates.model_validate(robot.servo.model_dump() | changes)
    results = []
    for stress in stresses:
        with LoopProcess(settings) as loop, _stress(stress, path, robot.planner) as load:
            trial = Trial(loop, settings, against)
            trial.run(seconds)
            results.append({"rate_hz": rate_hz, "stress": stress} | trial.result() | load())
    return results


class Trial:
    """The turns of one measurement."""

    def __init__(self, loop: LoopProcess, settings: ServoRates, against: str) -> None:
        self._loop = loop
        self._rate_hz = settings.rate_hz
        self._priority = settings.priority if loop.setup.fifo else None
        self._slices: dict[str, list[Slice]] = {"spinning": [], "frugal": []}
        self._stolen_ms: defaultdict[str, float] = defaultdict(float)
        self._warnings = list(loop.setup.warnings)
        self._yardstick = self._make_yardstick(settings) if against == "cyclictest" else None

    def _make_yardstick(self, settings: ServoRates) -> Cyclictest | None:
        """None, with a warning, where the kernel refuses real time: cyclictest then ends at once.

        It asks for SCHED_FIFO before it looks at its options (rt-tests 2.4).
        """
        setup, period = self._loop.setup, period_ns(settings.rate_hz)
        yardstick = Cyclictest(period, self._priority, settings.core, setup.locked)
        try:
            yardstick.measure(1)
            yardstick.counts.clear()
        except RunError as error:
            if setup.fifo:
                raise
            self._warnings.append(f"no ratios: {error}")
            return None
        return yardstick

    def run(self, seconds: float) -> None:
        """Measure each loop for so long, in turns."""
        turns = max(1, round(seconds / TURN_S))
        ticks = max(1, round(seconds * self._rate_hz / turns))
        self._loop.measure("spinning", min(WARM_UP_TICKS, round(WARM_UP_S * self._rate_hz)))
        for _ in range(turns):
            with self._turn("servo"):
                self._slices["spinning"].append(self._loop.measure("spinning", ticks))
            if self._yardstick is not None:
                with self._turn("cyclictest"):
                    self._yardstick.measure(ticks)
            with self._turn("frugal"):
                self._slices["frugal"].append(self._loop.measure("frugal", ticks))

    @contextmanager
    def _turn(self, loop: str) -> Iterator[None]:
        before_ms = stolen_ms()
        yield
        self._stolen_ms[loop] += stolen_ms() - before_ms

    def result(self) -> dict[str, Any]:
        """Lateness of all three in µs, their ratios, and the core time that punctuality costs."""
        setup = self._loop.setup
        spinning, frugal = self._slices["spinning"], self._slices["frugal"]
        result = {
            "scheduler": {
                "policy": "SCHED_FIFO" if setup.fifo else "SCHED_OTHER",
                "priority": self._priority,
                "memory_locked": setup.locked,
            },
            "warnings": self._warnings,
            "ticks": sum(len(part.lateness_ns) for part in spinning),
            "servo": _quantiles(spinning),
            "frugal": _quantiles(frugal),
            "core_share": _share(spinning, "spun_ns"),
            "cpu_share": _share(spinning, "cpu_ns"),
            "cpu_share_frugal": _share(frugal, "cpu_ns"),
            "slack_us": spinning[-1].slack_ns / NS_PER_US,
            "stolen_ms": dict(self._stolen_ms),
            "load_average": round(os.getloadavg()[0], 2),
        }
        return result | self._ratios(result)

    def _ratios(self, result: dict[str, Any]) -> dict[str, Any]:
        if self._yardstick is None:
            return {"cyclictest": None, "ratio_p99": None, "ratio_p99_frugal": None}
        measured = of_histogram(self._yardstick.counts)
        return {
            "cyclictest": measured,
            "ratio_p99": _ratio(result["servo"], measured),
            "ratio_p99_frugal": _ratio(result["frugal"], measured),
        }


@contextmanager
def _stress(kind: str, path: Path | None, planner: PlannerRates) -> Iterator[Any]:
    """The load; yields what tells of it at the end."""
    if kind == "none" or path is None:
        yield dict
        return
    if kind in FAULTS:
        with faulty_planner(kind, path, planner) as faulty:
            yield lambda: {"stress_deaths": faulty.deaths}
        return
    with planner_load(path, planner) as load:
        yield lambda: {"stress_plans": load.plans}


def _quantiles(slices: list[Slice]) -> dict[str, float]:
    return of_samples(np.concatenate([part.lateness_ns for part in slices]))


def _ratio(ours: dict[str, float], theirs: dict[str, float]) -> float | None:
    return round(ours["p99_us"] / theirs["p99_us"], 4) if theirs["p99_us"] else None


def _share(slices: list[Slice], cost: str) -> float:
    spent_ns: int = sum(getattr(part, cost) for part in slices)
    return round(spent_ns / sum(part.wall_ns for part in slices), 4)


def _check(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{option} is {value!r}, allowed are {', '.join(allowed)}")
