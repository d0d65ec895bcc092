from __future__ import annotations

import gc

import numpy as np
import pytest

from edge.commands.benchmarks.contenders import Contender
from edge.commands.benchmarks.timing import WARM_UP_ROUNDS, Timing, measure, prefixes


class World:
    """A clock that only plans advance: k · cost, and the first plan after another's is cold."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.ran: list[tuple[str, int, int]] = []
        self._last = ""

    def clock(self) -> int:
        return self.now_ns

    def contender(self, name: str, cost_ns: int, cold_ns: int = 0) -> Contender:
        def plan(features: np.void, k: int) -> np.ndarray:
            self.now_ns += k * cost_ns + (cold_ns if self._last != name else 0)
            self._last = name
            self.ran.append((name, k, int(features["id"])))
            return np.zeros((1, 1), np.float32)

        return Contender(name, "fp32", 1, plan)


def records(count: int) -> list[np.void]:
    array = np.zeros(count, [("id", "<i4")])
    array["id"] = range(count)
    return [array[index] for index in range(count)]


def run(world: World, contenders: list[Contender], rounds: int, longest_ns: int) -> list[Timing]:
    return measure(contenders, (1, 2), records(3), rounds, longest_ns, world.clock)


def test_every_plan_is_timed_warm_and_whole() -> None:
    world = World()
    contenders = [world.contender("a", 10, cold_ns=1_000), world.contender("b", 7, cold_ns=500)]
    timings = run(world, contenders, 6, 10**9)
    taken = {(timing.contender.engine, timing.k): timing.taken_ns for timing in timings}
    assert taken == {
        ("a", 1): (10,) * 6,
        ("a", 2): (20,) * 6,
        ("b", 1): (7,) * 6,
        ("b", 2): (14,) * 6,
    }


def test_warm_up_rounds_do_not_count() -> None:
    world = World()
    timings = run(world, [world.contender("a", 1)], 4, 10**9)
    assert {len(timing.taken_ns) for timing in timings} == {4}
    assert len(world.ran) == (WARM_UP_ROUNDS + 4) * 3


def test_contenders_take_turns_and_see_the_same_observations() -> None:
    world = World()
    run(world, [world.contender("a", 1), world.contender("b", 1)], 4, 10**9)
    rounds = [world.ran[start : start + 6] for start in range(0, len(world.ran), 6)]
    assert {round_[0][0] for round_ in rounds} == {"a", "b"}
    for round_ in rounds:
        assert sorted(name for name, _, _ in round_) == ["a"] * 3 + ["b"] * 3
        assert len({observation for _, _, observation in round_}) == 1
    assert {round_[0][2] for round_ in rounds} == {0, 1, 2}


def test_time_that_is_up_ends_the_measurement_after_one_round_at_least() -> None:
    world = World()
    (first, _) = run(world, [world.contender("a", 100)], 1_000, 0)
    assert len(first.taken_ns) == 1
    world = World()
    (first, _) = run(world, [world.contender("a", 100)], 1_000, 500 * (WARM_UP_ROUNDS + 10))
    assert len(first.taken_ns) == 11


def test_the_garbage_collector_rests_and_comes_back_even_after_a_failure() -> None:
    seen = []

    def plan(_features: np.void, _k: int) -> np.ndarray:
        seen.append(gc.isenabled())
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        measure([Contender("a", "fp32", 1, plan)], (1,), records(1), 1, 10**9)
    assert seen == [False]
    assert gc.isenabled()


def test_prefixes_are_powers_of_two_and_all_tokens() -> None:
    assert prefixes(8) == (1, 2, 4, 8)
    assert prefixes(6) == (1, 2, 4, 6)
    assert prefixes(1) == (1,)


def test_quantiles_are_in_microseconds() -> None:
    timing = Timing(World().contender("a", 1), 1, tuple(range(0, 101_000, 1_000)))
    assert timing.quantile_us(0.5) == 50.0
    assert timing.quantile_us(0.99) == 99.0
    assert timing.quantile_us(1.0) == 100.0
