from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.ladder import Rung
from edge.records import plan_dtype, tick_dtype
from edge.report import LimitAudit, Report
from edge.safety import Limits
from edge.shared_memory import Record
from tests.edge_parts import make_robot

PERIOD_S = 0.005
V, A, J = 3.0, 30.0, 3000.0  # the limits of ``make_robot``


def tick(number: int, command: float, sent: bool = True, **fields: object) -> Record:
    made: Record = np.zeros((), tick_dtype(2))
    made["tick"], made["sent"] = number, sent
    made["command"] = [command, 0.5]
    for name, value in fields.items():
        made[name] = value
    return made


def audit(*commands: float) -> LimitAudit:
    made = LimitAudit(Limits.of(make_robot()), PERIOD_S)
    for number, command in enumerate(commands, start=1):
        made.add(tick(number, command)[None])
    return made


@pytest.mark.parametrize(("command", "violations"), [(2.0, 0), (2.001, 1), (-1.0, 0), (-1.001, 1)])
def test_a_position_beyond_its_limit_is_caught(command: float, violations: int) -> None:
    assert audit(command).violations == violations


def moving(velocity: float, ticks: int = 20) -> list[float]:
    return [velocity * PERIOD_S * i for i in range(ticks)]


def test_a_velocity_beyond_its_limit_is_caught_on_every_tick() -> None:
    assert audit(*moving(V * 0.999)).violations == 0
    assert audit(*moving(V * 1.001)).violations == 19


@pytest.mark.parametrize(("share", "violations"), [(0.999, 0), (1.001, 1)])
def test_an_acceleration_beyond_its_limit_is_caught(share: float, violations: int) -> None:
    step = share * A * PERIOD_S**2
    jerk_free = [0.0, 0.0, *np.cumsum(np.arange(1, 8) * step)]
    made = LimitAudit(Limits.of(make_robot(joint_limits__waist__max_jerk=1_000_000)), PERIOD_S)
    for number, command in enumerate(jerk_free, start=1):
        made.add(tick(number, float(command))[None])
    assert (made.violations > 0) == (violations > 0)


@pytest.mark.parametrize(("share", "caught"), [(0.999, False), (1.001, True)])
def test_a_jerk_beyond_its_limit_is_caught(share: float, caught: bool) -> None:
    jerk = share * J * PERIOD_S**3
    commands = np.cumsum(np.cumsum(np.cumsum([0, 0, 0, jerk, 0, 0, -jerk, 0, 0])))
    assert (audit(*commands).violations > 0) is caught


def test_a_jump_is_caught_and_is_the_largest_step() -> None:
    made = audit(0.0, 0.0, 0.5, 0.5)
    assert made.violations >= 1
    assert made.max_step_rad == pytest.approx(0.5)


def test_a_command_that_was_not_sent_moves_nothing_and_is_not_judged() -> None:
    made = LimitAudit(Limits.of(make_robot()), PERIOD_S)
    made.add(tick(1, 0.0)[None])
    made.add(tick(2, 1.5, sent=False)[None])
    made.add(tick(3, 0.0)[None])
    assert made.violations == 0


def plan(prefix: int, taken_ns: int, late: bool = False) -> Record:
    made: Record = np.zeros((), plan_dtype(8))
    made["prefix"], made["published_ns"], made["late"] = prefix, taken_ns, late
    return made


def test_a_summary_counts_ticks_rungs_plans_and_prefixes() -> None:
    report = Report(make_robot())
    report.add_ticks(tick(1, 0.0, sent=False, rung=Rung.DISENGAGED, overrun=1)[None])
    for number, rung in enumerate((Rung.RAMP, Rung.FULL, Rung.FULL, Rung.TAIL), start=2):
        late = number == 3
        report.add_ticks(tick(number, 0.0, rung=rung, overrun=late, state_age_ns=2_000_000)[None])
    for number, prefix in enumerate((8, 8, 2, 1)):
        report.add_plans(plan(prefix, 1_000_000, late=number == 0)[None])
    summary = report.summary()
    assert summary["ticks"] == 4
    assert summary["late_ticks"] == 1
    assert summary["ladder"] == {"full": 2, "tail": 1, "ramp": 1}
    assert summary["prefix_counts"] == {"1": 1, "2": 1, "8": 2}
    assert summary["mean_prefix"] == pytest.approx(4.75)
    assert summary["late_plan_share"] == pytest.approx(0.25)
    assert summary["observation_age_p99_ms"] == pytest.approx(2.0, rel=0.01)
    assert summary["limit_violations"] == 0


@given(
    st.lists(st.tuples(st.floats(-1.2, 2.2), st.booleans(), st.booleans()), max_size=30),
    st.lists(st.integers(0, 30), max_size=6),
)
def test_an_audit_does_not_depend_on_how_the_ticks_are_cut(
    motion: list[tuple[float, bool, bool]], cuts: list[int]
) -> None:
    number, made = 0, []
    for command, sent, follows in motion:
        number += 1 if follows else 3
        made.append(tick(number, command, sent, measured=[command, 0.5]))
    ticks = np.array(made, dtype=tick_dtype(2))
    whole, pieces = (LimitAudit(Limits.of(make_robot()), PERIOD_S) for _ in range(2))
    whole.add(ticks)
    for piece in np.split(ticks, sorted(cuts)):
        pieces.add(piece)
    assert (pieces.violations, pieces.max_step_rad) == (whole.violations, whole.max_step_rad)


def test_the_rate_is_the_one_achieved_and_skipped_ticks_lower_it() -> None:
    report = Report(make_robot())
    assert report.rate_hz is None
    for number in range(1, 2000):
        due_ns = (number + number // 4) * 5_000_000  # every fifth is skipped
        report.add_ticks(tick(number, 0.0, rung=Rung.HOLD, due_ns=due_ns, late_ns=50_000)[None])
    assert report.rate_hz == pytest.approx(160, rel=0.01)


def test_memory_does_not_grow_with_the_run() -> None:
    report = Report(make_robot())
    made = np.repeat(tick(1, 0.0, rung=Rung.FULL)[None], 1000)
    sizes = []
    for _ in range(3):
        report.add_ticks(made)
        report.add_plans(np.repeat(plan(8, 1_000_000)[None], 1000))
        sizes.append(len(pickle.dumps(report)))
    assert sizes[2] - sizes[1] < 100


def test_a_summary_of_nothing_has_no_figures_and_does_not_fail() -> None:
    summary = Report(make_robot()).summary()
    assert summary["ticks"] == 0
    assert summary["mean_prefix"] is None
    assert summary["late_plan_share"] is None
