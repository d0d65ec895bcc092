"""The ticker against a clock of the test's own: due times, skips, the spin and its price."""

from __future__ import annotations

import time

import pytest

from edge import ticker as module
from edge.ticker import FLOOR_NS, RISE_NS, Ticker

PERIOD_NS = 1_000_000


class Clock:
    """A monotonic clock that moves by ``step_ns`` at each look and wakes sleepers late."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.step_ns = 100
        self.late_ns = 30_000
        self.slept_ns: list[int] = []

    def monotonic_ns(self) -> int:
        self.now_ns += self.step_ns
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        pause_ns = round(seconds * 1e9)
        self.slept_ns.append(pause_ns)
        self.now_ns += pause_ns + self.late_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_ticks_are_due_at_multiples_of_the_period_however_long_the_work_takes(
    clock: Clock,
) -> None:
    ticker = Ticker(PERIOD_NS, 200_000)
    first = ticker.wait()
    for number in range(1, 50):
        clock.now_ns += (number % 7) * 130_000
        assert ticker.wait() == first + number * PERIOD_NS
    assert ticker.skipped == 0


def test_a_tick_is_never_handed_out_before_it_is_due(clock: Clock) -> None:
    ticker = Ticker(PERIOD_NS, 200_000)
    for _ in range(20):
        assert clock.now_ns <= ticker.wait() + 2 * clock.step_ns
        assert clock.now_ns >= ticker.next_ns - PERIOD_NS


def test_ticks_lost_in_a_stall_are_skipped_and_counted_never_hurried_after(clock: Clock) -> None:
    ticker = Ticker(PERIOD_NS, 200_000)
    due = ticker.wait()
    clock.now_ns += 5 * PERIOD_NS + 10
    assert ticker.wait() == due + 5 * PERIOD_NS
    assert ticker.skipped == 4
    assert ticker.wait() == due + 6 * PERIOD_NS


def test_a_restart_forgets_the_time_before_it(clock: Clock) -> None:
    ticker = Ticker(PERIOD_NS, 200_000)
    clock.now_ns += 40 * PERIOD_NS
    ticker.restart()
    ticker.wait()
    assert ticker.skipped == 0


def test_the_frugal_mode_sleeps_to_the_tick_and_spins_nothing(clock: Clock) -> None:
    ticker = Ticker(PERIOD_NS, 0)
    for _ in range(50):
        due = ticker.wait()
        assert clock.now_ns >= due + clock.late_ns
    assert ticker.spun_ns == 0
    assert ticker.slack_ns == 0


def test_a_learnt_slack_spins_less_than_the_maximum_and_is_as_punctual(clock: Clock) -> None:
    ticker = Ticker(PERIOD_NS, 200_000)
    spun = []
    for _ in range(5_000):
        before = ticker.spun_ns
        due = ticker.wait()
        spun.append(ticker.spun_ns - before)
        late_ns = clock.now_ns - due
        assert late_ns <= clock.step_ns or late_ns < clock.late_ns
    assert spun[0] >= 160_000
    assert max(spun[-1_000:]) < spun[0] / 2
    assert ticker.slack_ns < FLOOR_NS + RISE_NS


def test_the_core_time_it_spun_is_what_it_reports(clock: Clock) -> None:
    ticker = Ticker(PERIOD_NS, 200_000)
    ticker.wait()
    looked_ns = clock.now_ns - (clock.slept_ns[0] + clock.late_ns)
    assert 0 < ticker.spun_ns <= looked_ns


def test_waiting_leaves_no_objects_behind() -> None:
    import sys

    ticker = Ticker(50_000, 20_000)
    for _ in range(50):
        ticker.wait()
    before = sys.getallocatedblocks()
    for _ in range(400):
        ticker.wait()
    assert sys.getallocatedblocks() - before < 20
    assert ticker.next_ns <= time.monotonic_ns() + 50_000
