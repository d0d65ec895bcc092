"""The live view fits a terminal of 80 columns, whatever a run brings."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from edge.commands.episodes import Snapshot
from edge.commands.view import LiveView
from edge.ladder import Rung
from edge.records import plan_dtype, tick_dtype
from edge.report import Report
from edge.robot import load_robot

LONG = "no answer from servo 1, 2, 4, 6, 7, 8, 9 within the read budget, and more"


def picture(late_ns: int, taken_ns: int, reason: str, outcomes: int) -> list[str]:
    """What a terminal of 80 columns shows after 100 ticks at every second due time."""
    robot = load_robot("viperx")
    report = Report(robot)
    ticks = np.zeros(100, tick_dtype(7))
    ticks["tick"] = np.arange(100)
    ticks["due_ns"] = np.arange(100) * 10_000_000
    ticks["late_ns"], ticks["rung"], ticks["reason"] = late_ns, Rung.DECELERATE, reason.encode()
    ticks["measured"] = ticks["command"] = -3.14159
    report.add_ticks(ticks)
    plans = np.zeros(123_456, plan_dtype(8))
    plans["prefix"], plans["published_ns"], plans["late"] = 8, taken_ns, 1
    report.add_plans(plans)
    snapshot = Snapshot(
        episode=outcomes + 1,
        episodes=100_000,
        outcomes=(True,) * outcomes,
        report=report,
        tick=ticks[-1],
        pids={},
        events=(f"planner: {LONG}",) * 3,
    )
    screen = io.StringIO()
    Console(file=screen, width=80).print(LiveView(robot, 8)._draw(snapshot))
    return screen.getvalue().splitlines()


@pytest.mark.parametrize("outcomes", [0, 99_999])
@pytest.mark.parametrize(("late_ns", "taken_ns"), [(0, 900_000), (123_456_789, 98_765_432)])
def test_nothing_wraps_at_80_columns(late_ns: int, taken_ns: int, outcomes: int) -> None:
    short = picture(0, 1_000_000, "ok", 0)
    lines = picture(late_ns, taken_ns, LONG, outcomes)
    assert len(lines) == len(short)
    assert {len(line) for line in lines} == {80}


def test_it_shows_the_rate_that_is_achieved_beside_the_one_that_was_asked_for() -> None:
    assert "100.0 of 200 Hz" in picture(0, 1_000_000, "ok", 0)[0]
