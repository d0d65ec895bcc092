from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edge import bundle as bundles
from edge.bundle import Bundle
from edge.commands.benchmarks.anytime import Setup, check_setup
from edge.commands.benchmarks.simulated_episode import Device, Outcome, run_episode
from edge.commands.benchmarks.simulated_planner import DelayedMailbox, DeviceClock
from edge.commands.bundles import find_bundle
from edge.commands.main import app
from edge.engines import Engine, Float32Array, build_engine
from edge.engines.whole_chunk import for_budget
from edge.errors import BundleError, UsageError
from edge.latency import Profile
from edge.records import CONTROL
from edge.robot import load_robot
from edge.shared_memory import Mailbox, Record
from models.tasks import get_task
from models.wilson import wilson_interval
from tests.edge_bundle import write_bundle

MS = 1_000_000
PREFILL_NS, TOKEN_NS, DECODE_NS = 20 * MS, 40 * MS, 50 * MS  # k = 1 in 110 ms, k = 8 in 390 ms
SLOW = Profile(PREFILL_NS, (TOKEN_NS,) * 8, DECODE_NS, (TOKEN_NS + DECODE_NS,) * 8)


class MeteredEngine:
    """A real engine whose stages take the times above, by ``work_ns``, whatever they take."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.work_ns = 0

    def prefill(self, features: Record) -> None:
        self.work_ns += PREFILL_NS
        self._engine.prefill(features)

    def next_token(self) -> int:
        self.work_ns += TOKEN_NS
        return self._engine.next_token()

    def decode(self, prefix: int) -> Float32Array:
        self.work_ns += DECODE_NS
        return self._engine.decode(prefix)

    def decode_full(self, prefix: int) -> Float32Array:
        self.work_ns += DECODE_NS
        return self._engine.decode_full(prefix)


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return bundles.load(find_bundle("viperx-lift"))


def episode(shipped: Bundle, policy: str, budget_us: int, slowdown: float = 1.0) -> Outcome:
    robot = load_robot("viperx")
    planner = robot.planner.model_copy(update={"budget_us": budget_us})
    robot = robot.model_copy(update={"planner": planner})
    engine = MeteredEngine(build_engine(shipped, "ort", "fp32"))
    clock = DeviceClock(lambda: engine.work_ns, slowdown)
    profile = replace(
        SLOW,
        prefill_ns=round(PREFILL_NS * slowdown),
        token_ns=tuple(round(token * slowdown) for token in SLOW.token_ns),
        decode_ns=round(DECODE_NS * slowdown),
        finish_ns=tuple(round(finish * slowdown) for finish in SLOW.finish_ns),
    )
    planning = for_budget(engine, shipped.manifest, budget_us * 1000)
    device = Device(shipped, planning, clock, profile)
    return run_episode(robot, device, get_task("viperx-lift"), policy, seed=0)


def test_a_planner_that_adapts_keeps_its_deadline_where_a_fixed_one_stops_the_arm(
    shipped: Bundle,
) -> None:
    anytime = episode(shipped, "anytime", budget_us=160_000)
    fixed = episode(shipped, "fixed", budget_us=160_000)
    assert anytime.success
    assert not any(anytime.late)
    assert set(anytime.prefixes) == {2}  # 20 + 2 · 40 + 50 ms
    assert set(anytime.plan_us) == {150_000.0}
    assert anytime.stopped_s == 0.0
    assert all(fixed.late)
    assert set(fixed.prefixes) == {8}
    assert fixed.stopped_s > 0.3
    assert fixed.seconds > anytime.seconds


def test_where_all_tokens_fit_the_policies_do_the_same(shipped: Bundle) -> None:
    outcomes = [episode(shipped, policy, 20_000, 0.01) for policy in ("anytime", "fixed")]
    assert outcomes[0].prefixes == outcomes[1].prefixes
    assert outcomes[0].seconds == outcomes[1].seconds
    assert outcomes[0].success
    assert not any(outcomes[0].late + outcomes[1].late)


def test_without_a_tail_a_late_chunk_stops_the_arm_even_where_the_tail_would_do(
    shipped: Bundle,
) -> None:
    """At 0.4 of those times all tokens take 156 ms: too late for 60 ms, within the tail's 320."""
    with_tail = episode(shipped, "fixed", 60_000, 0.4)
    without = episode(shipped, "fixed-no-tail", 60_000, 0.4)
    assert all(with_tail.late)
    assert all(without.late)
    assert with_tail.stopped_s == 0.0
    assert without.stopped_s > 0.5


def test_the_devices_clock_runs_so_many_times_as_fast_as_its_work() -> None:
    work = [1000]
    clock = DeviceClock(lambda: work[0], slowdown=2.5)
    clock.set(50)
    assert clock() == 50
    work[0] += 100
    assert clock() == 300
    clock.set(7)
    assert clock() == 7


def test_a_chunk_arrives_when_it_was_finished_and_the_newest_wins(tmp_path: Path) -> None:
    now = [0]
    sender = DelayedMailbox(
        tmp_path / "box", Mailbox(tmp_path / "box", CONTROL, create=True), lambda: now[0]
    )
    receiver = Mailbox(tmp_path / "box", CONTROL)
    record = np.zeros((), CONTROL)
    for time_ns, episode in ((10, 1), (20, 2), (30, 3)):
        now[0], record["episode"] = time_ns, episode
        sender.post(record)
    sender.deliver(9)
    assert receiver.take() is None
    sender.deliver(29)
    taken = receiver.take()
    assert taken is not None
    assert int(taken["episode"]) == 2
    sender.deliver(30)
    taken = receiver.take()
    assert taken is not None
    assert int(taken["episode"]) == 3


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 50, 0.0, 0.0713), (45, 50, 0.7864, 0.9565), (50, 50, 0.9287, 1.0), (1, 2, 0.0945, 0.9055)],
)
def test_wilson_intervals_are_those_of_the_tables(
    successes: int, trials: int, low: float, high: float
) -> None:
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(("successes", "trials"), [(3, 2), (-1, 2), (0, 0)])
def test_no_interval_without_trials(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="trials"):
        wilson_interval(successes, trials)


def test_the_command_reports_every_policy_and_budget(tmp_path: Path) -> None:
    figure = tmp_path / "anytime.png"
    command = ["bench", "anytime", "--budgets-us", "20000", "--episodes", "2", "--workers", "1"]
    result = CliRunner().invoke(app, [*command, "--plot", str(figure), "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["slowdown"] == 1.0
    assert [(row["policy"], row["budget_us"]) for row in report["rows"]] == [
        ("anytime", 20_000),
        ("fixed", 20_000),
    ]
    for row in report["rows"]:
        assert row["episodes"] == 2
        assert row["ci95"][0] <= row["success"] <= row["ci95"][1]
        assert 1 <= row["mean_k"] <= 8
        assert row["plans"] > 4
    assert figure.stat().st_size > 10_000


@pytest.mark.parametrize(
    "options",
    [
        ["--policies", "oracle"],
        ["--budgets-us", "99"],
        ["--budgets-us", "2000000"],
        ["--budgets-us", "1e3"],
        ["--task", "none"],
    ],
)
def test_what_is_not_allowed_is_refused_by_name(options: list[str]) -> None:
    result = CliRunner().invoke(app, ["bench", "anytime", "--episodes", "1", *options])
    assert isinstance(result.exception, UsageError)
    assert options[0] in str(result.exception)


def test_a_bundle_for_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is for 'none', not 'viperx-lift'"):
        check_setup(Setup("viperx", write_bundle(tmp_path / "other"), "viperx-lift", 1.0))
