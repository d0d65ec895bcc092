"""The host's idea of the controller's clock."""

from __future__ import annotations

import random

import pytest

from firmware_bridge.oatlink.clock import ClockEstimator, TimeSample

OFFSET_US = 123_456_789
HOST_START_NS = 987_654_321_000


class Line:
    """A controller whose clock runs ``ppm`` fast, behind a line with random delays."""

    def __init__(self, ppm: float = 0.0, seed: int = 1) -> None:
        self.rate = 1 + ppm * 1e-6
        self.now_ns = HOST_START_NS
        self.step_us = 0
        self._chance = random.Random(seed)

    def controller_us(self, host_ns: float) -> int:
        return OFFSET_US + self.step_us + int((host_ns - HOST_START_NS) * self.rate / 1000)

    def exchange(self, after_ns: int, slow_ns: int = 0) -> TimeSample:
        self.now_ns += after_ns
        there_ns = 100_000 + int(self._chance.expovariate(1 / 20_000))
        back_ns = 100_000 + int(self._chance.expovariate(1 / 20_000)) + slow_ns
        arrived_us = self.controller_us(self.now_ns + there_ns)
        sent_ns, self.now_ns = self.now_ns, self.now_ns + there_ns + 50_000 + back_ns
        return TimeSample(sent_ns, self.now_ns, arrived_us, 50)

    def error_us(self, clock: ClockEstimator) -> int:
        return clock.controller_us(self.now_ns) - self.controller_us(self.now_ns)


def begun(line: Line) -> ClockEstimator:
    clock = ClockEstimator()
    clock.begin([line.exchange(500_000) for _ in range(8)])
    return clock


@pytest.mark.parametrize("ppm", [-100.0, 0.0, 100.0])
def test_the_clock_is_known_within_100_us_and_followed(ppm: float) -> None:
    line = Line(ppm)
    clock = begun(line)
    assert abs(line.error_us(clock)) < 100
    for _ in range(60):
        clock.add(line.exchange(980_000_000))
        assert abs(line.error_us(clock)) < 250
    assert abs(line.error_us(clock)) < 100
    assert not clock.stepped


def test_both_directions_agree() -> None:
    line = Line(50.0)
    clock = begun(line)
    for _ in range(20):
        clock.add(line.exchange(980_000_000))
    for ahead_ns in (0, 10_000_000, 500_000_000):
        there_us = clock.controller_us(line.now_ns + ahead_ns)
        assert abs(clock.host_ns(there_us) - line.now_ns - ahead_ns) < 2000


def test_a_slow_first_exchange_does_not_spoil_the_start() -> None:
    line = Line()
    samples = [line.exchange(500_000, slow_ns=30_000_000)]
    samples += [line.exchange(500_000) for _ in range(7)]
    clock = ClockEstimator()
    assert clock.begin(samples) == 7
    assert abs(line.error_us(clock)) < 100


def test_slow_answers_are_left_out_and_harm_nothing() -> None:
    line = Line(20.0)
    clock = begun(line)
    for tick in range(40):
        used = clock.add(line.exchange(980_000_000, slow_ns=8_000_000 if tick % 2 else 0))
        assert used == (tick % 2 == 0)
    assert abs(line.error_us(clock)) < 150


def test_a_line_that_became_slower_for_good_is_learnt() -> None:
    line = Line()
    clock = begun(line)
    used = [clock.add(line.exchange(980_000_000, slow_ns=900_000)) for _ in range(60)]
    assert not used[0] and used[-1]
    assert abs(line.error_us(clock)) < 600  # half of what one direction lost


def test_a_step_is_refused_and_five_in_a_row_are_said_to_be_one() -> None:
    line = Line()
    clock = begun(line)
    line.step_us = -300_000
    for number in range(5):
        assert not clock.stepped
        assert not clock.add(line.exchange(980_000_000)), number
    assert clock.stepped and clock.outliers == 5
    clock.begin([line.exchange(500_000) for _ in range(8)])
    assert abs(line.error_us(clock)) < 100
