"""How often does an agent succeed, at each number of tokens, over many starts in many processes?

Closed loop in simulated time: planning takes none of it. One job is one episode; what it draws
depends on its seed and number alone, never on which process runs it or how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from typing import Any, Protocol

import numpy as np

from models.agent import Agent, Observation
from models.rollout import rollout, use_one_thread
from models.tasks import get_task
from models.wilson import wilson_interval

_NOISE_STREAM = 2
"""First word of the seeds of what an agent or an expert draws; see ``models.tasks.seeds``."""

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""Applies a function to jobs, in this process or others; results in the order of the jobs."""


@dataclass(frozen=True)
class Setup:
    """Whose episodes: ``make_agent`` is pickled and called once per process; None is the expert.

    ``weights`` tells the same policy's weights from others in a log of outcomes.
    """

    task: str
    policy: str
    make_agent: Callable[[], Agent] | None
    execute: int = 16
    weights: str = ""


@dataclass(frozen=True)
class Job:
    """An episode: ``k`` tokens a chunk (None: all there are), start ``episode`` of a seed."""

    k: int | None
    seed: int
    episode: int


@dataclass(frozen=True)
class Outcome:
    """What an episode came to; ``tokens`` is None for agents without tokens."""

    success: bool
    plans: int
    tokens: int | None
    undecodable: int


class Log(Protocol):
    """Remembers outcomes from one evaluation to the next."""

    def find(self, setup: Setup, job: Job) -> Outcome | None:
        """What this episode came to, None where it was not run yet."""

    def add(self, setup: Setup, job: Job, outcome: Outcome) -> None:
        """Note what an episode came to."""


class Tally:
    """An agent as a policy for ``models.rollout`` that keeps account of its plans."""

    def __init__(self, agent: Agent, job: Job) -> None:
        self._agent, self._k = agent, job.k
        self._rng = _own_rng(job)
        self.plans, self.undecodable = 0, 0
        self.tokens: int | None = None

    def __call__(self, observation: Observation) -> np.ndarray:
        """Actions (H, D) in rad."""
        plan = self._agent.plan(observation, self._k, self._rng)
        self.plans += 1
        self.undecodable += not plan.decodable
        if plan.tokens is not None:
            self.tokens = (self.tokens or 0) + plan.tokens
        return plan.actions


def evaluate(
    setup: Setup,
    ks: Sequence[int | None],
    episodes: int,
    seeds: int,
    apply: Map = map,
    report: Callable[[], None] = lambda: None,
    log: Log | None = None,
) -> list[dict[str, Any]]:
    """A row per ``k`` over ``episodes`` starts of each of ``seeds`` seeds; ``report`` per episode.

    Episodes that ``log`` knows are not run again, and others are added to it.

    A row: ``{task, policy, k, episodes, success, ci95, tokens_per_chunk, plans, undecodable}``:
    share of successes with its 95 % interval (Wilson), mean of the tokens generated for a chunk,
    chunks planned, and how many of them stood for no chunk at all.
    """
    starts = [(seed, episode) for seed in range(seeds) for episode in range(episodes)]
    jobs = [Job(k, *start) for k in ks for start in starts]
    known = {job: log.find(setup, job) for job in jobs} if log is not None else {}
    left = [job for job in jobs if known.get(job) is None]
    for _ in range(len(jobs) - len(left)):
        report()
    for job, outcome in zip(left, apply(partial(run_job, setup), left), strict=True):
        known[job] = outcome
        if log is not None:
            log.add(setup, job, outcome)
        report()
    outcomes = [known[job] for job in jobs]
    each = len(starts)
    return [_row(setup, k, outcomes[i * each : (i + 1) * each]) for i, k in enumerate(ks)]


def run_job(setup: Setup, job: Job) -> Outcome:
    """One episode."""
    task = get_task(setup.task)
    if setup.make_agent is None:
        demonstrator = task.demonstrator(
            np.random.default_rng([_NOISE_STREAM, job.seed, job.episode])
        )
        result = rollout(task, demonstrator, job.seed, execute=1, episode=job.episode)
        return Outcome(result.success, 0, None, 0)
    tally = Tally(_agent(setup.make_agent), job)
    result = rollout(task, tally, job.seed, setup.execute, job.episode)
    return Outcome(result.success, tally.plans, tally.tokens, tally.undecodable)


@contextmanager
def processes(count: int) -> Iterator[Map]:
    """A ``Map`` over as many processes; with one, this process itself."""
    if count == 1:
        yield map
        return
    with get_context("spawn").Pool(count, initializer=use_one_thread) as pool:
        yield pool.imap


def _own_rng(job: Job) -> np.random.Generator:
    return np.random.default_rng([_NOISE_STREAM, job.seed, job.episode])


@lru_cache(maxsize=1)
def _agent(make_agent: Callable[[], Agent]) -> Agent:
    agent = make_agent()
    use_one_thread()
    return agent


def _row(setup: Setup, k: int | None, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    successes = sum(outcome.success for outcome in outcomes)
    plans = sum(outcome.plans for outcome in outcomes)
    tokens = [outcome.tokens for outcome in outcomes if outcome.tokens is not None]
    return {
        "task": setup.task,
        "policy": setup.policy,
        "k": k,
        "episodes": len(outcomes),
        "success": successes / len(outcomes),
        "ci95": [round(bound, 4) for bound in wilson_interval(successes, len(outcomes))],
        "tokens_per_chunk": round(sum(tokens) / plans, 2) if tokens else None,
        "plans": plans or None,
        "undecodable": sum(outcome.undecodable for outcome in outcomes),
    }
