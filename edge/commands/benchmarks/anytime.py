"""``oat-edge bench anytime``: success against the planner's budget, with and without prefixes.

The same weights, starts, seam, ladder and limits; policies differ in their planner alone:

anytime        decodes the longest prefix that fits the budget
fixed          all tokens always; a chunk that does not fit comes late, and meanwhile the arm lives
               on the tail of the chunk before it
fixed-no-tail  as fixed, but chunks end where the next one is due: a late one stops the arm
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from edge import bundle as bundles
from edge.commands.benchmarks.device import device_facts
from edge.commands.benchmarks.simulated_episode import PLANNERS, Device, Outcome, run_episode
from edge.commands.benchmarks.simulated_planner import DeviceClock, profile_device, work_clock
from edge.engines import build_engine
from edge.engines.whole_chunk import WholeChunk, outlasts_the_head
from edge.errors import BundleError, UsageError
from edge.fit import check_fit
from edge.rates import NS_PER_US
from edge.robot import Robot, load_robot
from models.tasks import TASK_NAMES, get_task
from models.wilson import wilson_interval

LEAST_BUDGET_US, MOST_BUDGET_US = 100, 1_000_000


@dataclass(frozen=True, slots=True)
class Setup:
    """What every episode of a sweep shares."""

    robot: str
    bundle: Path
    task: str
    slowdown: float


@dataclass(frozen=True, slots=True)
class Job:
    """One episode of a sweep."""

    policy: str
    budget_us: int
    seed: int


def bench_anytime(
    setup: Setup, policies: Sequence[str], budgets_us: Sequence[int], episodes: int, workers: int
) -> dict[str, Any]:
    """The report as JSON values. Raises OatEdgeError; see the command for the arguments."""
    _check(policies, budgets_us)
    device = _device(setup, _is_whole(setup, min(budgets_us)))
    points = [(policy, budget) for budget in budgets_us for policy in policies]
    outcomes = _run_all(setup, _jobs(points, episodes), workers)
    profile, tokens = device.profile, device.loaded.manifest.tokenizer.tokens
    first_ns = profile.prefill_ns + profile.token_ns[0] + profile.decode_ns
    return {
        "bench": "anytime",
        "task": setup.task,
        "bundle": {"name": device.loaded.manifest.name, "digest": device.loaded.digest},
        "robot": setup.robot,
        "device": device_facts(),
        "slowdown": setup.slowdown,
        "note": _note(setup.slowdown),
        "profile_us": {"1": first_ns / NS_PER_US, str(tokens): profile.plan_ns / NS_PER_US},
        "tokens": tokens,
        "rows": [
            _row(policy, budget, outcomes[index :: len(points)])
            for index, (policy, budget) in enumerate(points)
        ],
    }


def _note(slowdown: float) -> str:
    if slowdown == 1.0:
        return "stages take the time that they took here"
    return f"stages take {slowdown:g} times as long as here: a device so much slower"


def _check(policies: Sequence[str], budgets_us: Sequence[int]) -> None:
    for policy in policies:
        if policy not in PLANNERS:
            raise UsageError(f"--policies is {policy!r}, allowed are {', '.join(PLANNERS)}")
    for budget_us in budgets_us:
        if not LEAST_BUDGET_US <= budget_us <= MOST_BUDGET_US:
            allowed = f"{LEAST_BUDGET_US} to {MOST_BUDGET_US}"
            raise UsageError(f"--budgets-us is {budget_us}, allowed is {allowed}")


def check_setup(setup: Setup) -> None:
    """Raises OatEdgeError where robot, bundle and task do not belong together."""
    if setup.task not in TASK_NAMES:
        raise UsageError(f"--task is {setup.task!r}, allowed are {', '.join(TASK_NAMES)}")
    manifest, _ = bundles.read_manifest(setup.bundle)
    if manifest.task != setup.task:
        raise BundleError(f"bundle {setup.bundle} is for {manifest.task!r}, not {setup.task!r}")
    check_fit(load_robot(setup.robot), manifest, setup.bundle)


def _jobs(points: Sequence[tuple[str, int]], episodes: int) -> list[Job]:
    """Every point in turn on one start, then on the next: other load on this machine, which makes
    its plans slower, meets all points alike."""
    return [Job(policy, budget, seed) for seed in range(episodes) for policy, budget in points]


def _run_all(setup: Setup, jobs: list[Job], workers: int) -> list[Outcome]:
    run = partial(_run_job, setup)
    if workers == 1:
        return list(map(run, jobs))
    with get_context("spawn").Pool(workers) as pool:
        return list(pool.imap(run, jobs, chunksize=4))


def _run_job(setup: Setup, job: Job) -> Outcome:
    robot = _with_budget(load_robot(setup.robot), job.budget_us)
    device = _device(setup, _is_whole(setup, job.budget_us))
    return run_episode(robot, device, get_task(setup.task), job.policy, job.seed)


def _with_budget(robot: Robot, budget_us: int) -> Robot:
    planner = robot.planner.model_copy(update={"budget_us": budget_us})
    return robot.model_copy(update={"planner": planner})


def _is_whole(setup: Setup, budget_us: int) -> bool:
    """Whether plans decode whole chunks at once, as the planner does where heads are too short."""
    manifest, _ = bundles.read_manifest(setup.bundle)
    return outlasts_the_head(budget_us * NS_PER_US, manifest)


@lru_cache(maxsize=2)
def _device(setup: Setup, whole: bool) -> Device:
    """This process's engine, and its profile as this process measures it."""
    settings = load_robot(setup.robot).planner
    loaded = bundles.load(setup.bundle)
    engine = build_engine(loaded, settings.engine, settings.precision)
    clock = DeviceClock(work_clock(engine), setup.slowdown)
    if whole:
        engine = WholeChunk(engine)
    samples = profile_device(engine, loaded.manifest, clock)
    return Device(loaded, engine, clock, samples.profile(settings.miss_target))


def _row(policy: str, budget_us: int, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Figures of one point; ``seconds``: mean length of an episode, a failed one's included."""
    successes = sum(outcome.success for outcome in outcomes)
    prefixes = _joined(outcome.prefixes for outcome in outcomes)
    late = _joined(outcome.late for outcome in outcomes)
    plan_us = _joined(outcome.plan_us for outcome in outcomes)
    return {
        "budget_us": budget_us,
        "policy": policy,
        "episodes": len(outcomes),
        "success": successes / len(outcomes),
        "ci95": [round(bound, 4) for bound in wilson_interval(successes, len(outcomes))],
        "mean_k": round(float(np.mean(prefixes)), 3) if prefixes else None,
        "late_share": round(float(np.mean(late)), 4) if late else None,
        "plans": len(late),
        "plan_us_p50": round(float(np.median(plan_us)), 1) if plan_us else None,
        "seconds": round(float(np.mean([outcome.seconds for outcome in outcomes])), 3),
        "stopped_s": round(float(np.mean([outcome.stopped_s for outcome in outcomes])), 3),
    }


def _joined(parts: Iterable[tuple[Any, ...]]) -> list[Any]:
    return [value for part in parts for value in part]
