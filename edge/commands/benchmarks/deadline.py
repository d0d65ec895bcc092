"""``oat-edge bench deadline``: does the planner keep its deadline, and what does caution cost?

The planner's own code answers requests on the bundle's engine; then the tokens that it left out are
generated and timed too. From the true times an oracle with hindsight says which prefix would just
have fitted: the longest that the same code could have had out in time, had it known what was coming
and decoded once. What passed between the stages counts for both.

Loads are those of ``stress``, and ``throttle``: the engine as on a core at half its clock.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from edge import bundle
from edge.bundle import Bundle
from edge.commands.benchmarks.half_clock import HalfClock
from edge.commands.benchmarks.stress import KINDS, stress
from edge.engines import Engine, build_engine
from edge.errors import UsageError
from edge.latency import LatencyModel
from edge.planner import Planner
from edge.profiling import PAUSE_S, measure
from edge.realtime import configure
from edge.records import Channels, request_dtype
from edge.robot import Robot
from edge.session import Session
from edge.shared_memory import Record

SETTLE_PLANS = 100  # at each new load, before counting: the correction follows within a second
PROFILE_PLANS = 1_000
THROTTLE = "throttle"
LOADS = (*KINDS, THROTTLE)


def run(
    robot: Robot, path: Path, directory: Path, budgets_us: list[int], kinds: list[str], plans: int
) -> list[dict[str, Any]]:
    """One row for every load and budget; ``directory`` takes the mailboxes."""
    for kind in kinds:
        if kind not in LOADS:
            raise UsageError(f"--stress is {kind!r}, allowed are {', '.join(LOADS)}")
    loaded = bundle.load(path)
    settings = robot.planner
    engine = build_engine(loaded, settings.engine, settings.precision)
    core = max(os.sched_getaffinity(0))
    configure(settings.model_copy(update={"core": core}))
    profile = measure(engine, loaded.manifest, PROFILE_PLANS).profile(settings.miss_target)
    session = Session(directory=directory, robot=robot, bundle=path, seed=0)
    channels = Channels.open(session, loaded.manifest, create=True)
    rows = []
    for kind in kinds:
        for budget_us in budgets_us:
            model = LatencyModel(profile)
            slowed = HalfClock(engine, profile) if kind == THROTTLE else engine
            trial = Trial(slowed, loaded, channels, model, budget_us * 1000)
            with stress(kind):
                rows.append({"budget_us": budget_us, "stress": kind} | trial.run(plans))
    return rows


class Trial:
    """Many plans under one load with one budget."""

    def __init__(
        self,
        engine: Engine,
        loaded: Bundle,
        channels: Channels,
        model: LatencyModel,
        budget_ns: int,
    ) -> None:
        self._engine = engine
        self._tokens = loaded.manifest.tokenizer.tokens
        self._channels = channels
        self._model = model
        self._planner = Planner(engine, loaded.manifest, channels, model)
        self._budget_ns = budget_ns
        self._request = np.zeros((), request_dtype(loaded.manifest))
        self._between_ns = 0  # of the last plan that shows it

    def run(self, plans: int) -> dict[str, Any]:
        """Figures over ``plans`` plans; late_share counts plans published after their deadline."""
        for _ in range(SETTLE_PLANS):
            self._plan()
        outcomes = np.array([self._plan() for _ in range(plans)])
        late, prefix, oracle = outcomes.T
        possible = oracle > 0
        return {
            "plans": plans,
            "late_share": float(late.mean()),
            "one_token_fits_share": float(possible.mean()),
            "late_share_where_one_fits": float(late[possible].mean()) if possible.any() else None,
            "mean_k": round(float(prefix.mean()), 3),
            "oracle_mean_k": round(float(oracle.mean()), 3),
            "factor": round(self._model.factor, 3),
        }

    def _plan(self) -> tuple[bool, int, int]:
        """One plan: was it late, with how many tokens, and how many the oracle had decoded."""
        time.sleep(PAUSE_S)
        self._planner.warm_up.run_through()
        self._planner.warm_up.rehearse()
        now_ns = time.monotonic_ns()
        self._request["plan"] += 1
        self._request["observed_ns"] = now_ns
        self._request["deadline_ns"] = now_ns + self._budget_ns
        self._planner.answer(self._request)
        plans = self._channels.plans.drain()
        if not len(plans):
            return True, 0, 0  # passed over: it was overdue before it was begun
        plan = plans[-1]
        return bool(plan["late"]), int(plan["prefix"]), self._oracle(plan)

    def _oracle(self, plan: Record) -> int:
        """The longest prefix that would have been in time; 0 if not even one token was."""
        token_ns = plan["token_ns"].copy()
        for index in range(int(plan["generated"]), self._tokens):
            before_ns = time.monotonic_ns()
            self._engine.next_token()
            token_ns[index] = time.monotonic_ns() - before_ns
        prefilled_ns = int(plan["started_ns"] - plan["observed_ns"] + plan["prefill_ns"])
        ends_ns = prefilled_ns + np.cumsum(token_ns) + int(plan["decode_ns"])
        if not plan["coarse"]:
            taken_ns = int(plan["published_ns"] - plan["observed_ns"])
            self._between_ns = taken_ns - int(ends_ns[int(plan["generated"]) - 1])
        return int(np.count_nonzero(ends_ns + self._between_ns <= self._budget_ns))
