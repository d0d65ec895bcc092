"""``bench deadline`` on an engine whose stages take known times by a simulated clock."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.commands.benchmarks import deadline
from edge.commands.benchmarks.deadline import Trial
from edge.commands.benchmarks.half_clock import HalfClock
from edge.errors import UsageError
from edge.latency import LatencyModel, Profile
from edge.records import Channels
from edge.session import Session
from edge.shared_memory import Record
from tests.edge_parts import make_manifest, make_robot

US = 1_000
TOKENS = 4
PREFILL_NS, TOKEN_NS, DECODE_NS = 100 * US, 10 * US, 50 * US
FINISH_NS = (TOKEN_NS + DECODE_NS,) * TOKENS
PROFILE = Profile(PREFILL_NS, (TOKEN_NS,) * TOKENS, DECODE_NS, FINISH_NS)
ONE_TOKEN_NS = PREFILL_NS + TOKEN_NS + DECODE_NS


class Clock:
    """Stands still but for what the engine does."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000_000
        self.sleeps = 0

    def monotonic_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        del seconds
        self.sleeps += 1


class TimedEngine:
    """Every stage takes ``scale`` times its own time, by the clock, exactly."""

    def __init__(self, clock: Clock, horizon: int, head: int, joints: int) -> None:
        self._clock = clock
        self._actions = np.zeros((horizon, joints), np.float32)
        self._head = head
        self.tokens = 0
        self.scale = 1

    def _take(self, duration_ns: int) -> None:
        self._clock.now_ns += self.scale * duration_ns

    def prefill(self, features: Record) -> None:
        del features
        self.tokens = 0
        self._take(PREFILL_NS)

    def next_token(self) -> int:
        assert self.tokens < TOKENS
        self.tokens += 1
        self._take(TOKEN_NS)
        return 0

    def decode(self, prefix: int) -> np.ndarray:
        assert 1 <= prefix <= self.tokens
        self._take(DECODE_NS)
        return self._actions[: self._head]

    def decode_full(self, prefix: int) -> np.ndarray:
        assert 1 <= prefix <= self.tokens
        self._take(DECODE_NS)
        return self._actions


class Desk:
    """A trial in simulated time, whose profile is what the engine takes."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.clock = clock
        self._manifest = manifest = make_manifest()
        session = Session(directory=folder, robot=make_robot(), bundle=folder, seed=0)
        self.channels = Channels.open(session, manifest, create=True)
        action = manifest.action
        joints = len(action.names)
        self.engine = TimedEngine(clock, action.action_horizon, action.head_steps, joints)

    def trial(self, budget_ns: int) -> Trial:
        loaded: Any = SimpleNamespace(manifest=self._manifest)
        engine: Any = self.engine
        trial = Trial(engine, loaded, self.channels, LatencyModel(PROFILE), budget_ns)
        trial._planner._clock = trial._planner.warm_up._clock = self.clock.monotonic_ns
        return trial


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    clock = Clock()
    monkeypatch.setattr(deadline, "time", clock)
    return Desk(tmp_path, clock)


def test_a_row_holds_what_the_figures_are_made_of(desk: Desk) -> None:
    row = desk.trial(10_000 * US).run(5)
    assert row["plans"] == 5
    assert (row["mean_k"], row["oracle_mean_k"], row["late_share"]) == (TOKENS, TOKENS, 0.0)
    assert row["one_token_fits_share"] == 1.0 and row["late_share_where_one_fits"] == 0.0
    assert row["factor"] == pytest.approx(1.0, abs=0.05)
    assert desk.clock.sleeps == deadline.SETTLE_PLANS + 5


@pytest.mark.parametrize(("beyond_ns", "fits"), [(-1, 0), (0, 1), (TOKEN_NS - 1, 1), (TOKEN_NS, 2)])
def test_the_oracle_has_the_longest_prefix_that_ends_by_the_deadline_and_not_a_token_more(
    desk: Desk, beyond_ns: int, fits: int
) -> None:
    _, _, oracle = desk.trial(ONE_TOKEN_NS + beyond_ns)._plan()
    assert oracle == fits


def test_the_oracle_never_has_less_than_a_planner_that_was_in_time(desk: Desk) -> None:
    for budget_ns in range(100 * US, 400 * US, 7 * US):
        trial = desk.trial(budget_ns)
        for _ in range(3):
            late, prefix, oracle = trial._plan()
            assert late or prefix <= oracle


def test_a_plan_published_after_its_deadline_is_late_and_one_before_is_not(desk: Desk) -> None:
    assert [desk.trial(ONE_TOKEN_NS + off)._plan()[0] for off in (-1, 0)] == [True, False]


def test_where_no_token_fits_all_plans_are_late_and_none_counts_among_those_that_could_not_be(
    desk: Desk,
) -> None:
    row = desk.trial(ONE_TOKEN_NS - 1).run(4)
    assert (row["late_share"], row["one_token_fits_share"]) == (1.0, 0.0)
    assert (row["oracle_mean_k"], row["late_share_where_one_fits"]) == (0.0, None)


def test_one_late_plan_of_four_is_a_quarter(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, plan, count = desk.trial(5_000 * US), Trial._plan, [0]

    def once_slow(self: Trial) -> tuple[bool, int, int]:
        count[0] += 1
        desk.engine.scale = 100 if count[0] == deadline.SETTLE_PLANS + 3 else 1
        return plan(self)

    monkeypatch.setattr(Trial, "_plan", once_slow)
    row = trial.run(4)
    assert (row["late_share"], row["one_token_fits_share"]) == (0.25, 0.75)
    assert row["late_share_where_one_fits"] == 0.0


def test_a_request_that_is_passed_over_is_late_and_nobody_could_have_had_it_in_time(
    desk: Desk,
) -> None:
    trial = desk.trial(-1_000_000 * US)
    assert trial._plan() == (True, 0, 0)


def test_at_half_its_clock_every_stage_takes_twice_its_time() -> None:
    ticking = Ticking()
    timed = TimedEngine(ticking, horizon=4, head=2, joints=3)
    engine = HalfClock(timed, PROFILE, ticking.monotonic_ns)
    stages = (
        (lambda: engine.prefill(np.zeros(())), PREFILL_NS),
        (engine.next_token, TOKEN_NS),
        (lambda: engine.decode(1), DECODE_NS),
        (lambda: engine.decode_full(1), DECODE_NS),
    )
    for stage, usual_ns in stages:
        before_ns = ticking.now_ns
        stage()
        assert ticking.now_ns - before_ns == pytest.approx(2 * usual_ns, abs=5 * Ticking.STEP_NS)


def test_what_is_torn_into_a_stage_is_as_long_at_half_the_clock() -> None:
    ticking = Ticking()
    timed = TimedEngine(ticking, horizon=4, head=2, joints=3)
    engine = HalfClock(timed, PROFILE, ticking.monotonic_ns)
    engine.prefill(np.zeros(()))
    timed.scale = 7
    before_ns = ticking.now_ns
    engine.next_token()
    assert ticking.now_ns - before_ns == pytest.approx(8 * TOKEN_NS, abs=5 * Ticking.STEP_NS)


def test_a_load_that_there_is_none_of_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'tired', allowed are none, cpu, memory, throttle"):
        deadline.run(make_robot(), tmp_path, tmp_path, [400], ["none", "tired"], 100)


class Ticking(Clock):
    """Goes on a little whenever it is read, so that a spin ends."""

    STEP_NS = 100

    def monotonic_ns(self) -> int:
        self.now_ns += self.STEP_NS
        return self.now_ns
