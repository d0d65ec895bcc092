"""Clocks that are capped shorten the prefix of the very next plan, and an event says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.log_reader import read_log
from edge.recorder import Recorder
from edge.session import Session
from edge.shared_memory import Record
from edge.throttling import FREE, Throttle
from tests.edge_parts import make_robot
from tests.unit.test_edge_planner import MS, Bench

CAPPED = Throttle(3.0, "policy0 clock capped at 33%, cpu-thermal 84 °C")


class Timed(Bench):
    """A planner whose every stage takes 1 ms of simulated time, as its profile says."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, token_ns=MS)
        self.now_ns = 1_000_000 * MS
        self.clock = lambda: self.now_ns
        for name in ("prefill", "next_token", "decode"):
            setattr(self.engine, name, self._timed(getattr(self.engine, name)))

    def _timed(self, stage):  # type: ignore[no-untyped-def]
        def timed(*arguments):  # type: ignore[no-untyped-def]
            self.now_ns += MS
            return stage(*arguments)

        return timed

    def plan(self, budget_ns: int = 7 * MS) -> Record:
        self.ask(budget_ns=budget_ns)
        (made,) = self.reader.plans.drain()
        return made


def test_a_cap_shortens_the_next_prefix_before_any_stage_was_slow(tmp_path: Path) -> None:
    timed = Timed(tmp_path)
    before = timed.plan()
    timed.planner.slow_down(CAPPED)
    capped = timed.plan()
    assert int(before["prefix"]) == 4
    assert 1 <= int(capped["prefix"]) < 4
    assert not before["late"] and not capped["late"]
    assert float(capped["throttle"]) == 3.0


def test_a_cap_that_is_lifted_gives_the_tokens_back_at_once(tmp_path: Path) -> None:
    timed = Timed(tmp_path)
    timed.planner.slow_down(CAPPED)
    timed.planner.slow_down(FREE)
    assert int(timed.plan()["prefix"]) == 4


def test_the_begin_and_the_end_of_throttling_are_events_with_the_reason(tmp_path: Path) -> None:
    timed = Timed(tmp_path)
    plans = []
    for throttle in (FREE, CAPPED, CAPPED, FREE):
        timed.planner.slow_down(throttle)
        plans.append(timed.plan())
    path = tmp_path / "run.mcap"
    session = Session(directory=tmp_path, robot=make_robot(), bundle=tmp_path, seed=0)
    with Recorder(path, session, tokens=4) as recorder:
        recorder.plans(np.stack(plans))
    events = [(event.event, event.reason) for event in read_log(path).events]
    assert events == [("throttle", CAPPED.reason), ("throttle", "no longer slowed down")]
