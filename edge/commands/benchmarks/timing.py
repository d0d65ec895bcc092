"""Times contenders side by side, so that whatever disturbs the machine disturbs them all alike.

A round runs every contender once for every prefix length; who begins rotates. Each contender first
runs one plan that does not count, as the planner rehearses before a request that it expects: what
is timed is a plan on caches that the contender itself has warmed, not its predecessor.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from edge.commands.benchmarks.contenders import Contender
from edge.rates import NS_PER_US
from edge.shared_memory import Record

WARM_UP_ROUNDS = 5

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations of a contender's plans of k tokens, observation to actions, in ns."""

    contender: Contender
    k: int
    taken_ns: tuple[int, ...]

    def quantile_us(self, share: float) -> float:
        """A quantile in µs, to a tenth."""
        return round(float(np.quantile(self.taken_ns, share)) / NS_PER_US, 1)


def prefixes(tokens: int) -> tuple[int, ...]:
    """The prefix lengths that are measured: powers of two, and all tokens."""
    powers = (1 << power for power in range(tokens.bit_length()))
    return tuple(sorted({k for k in powers if k <= tokens} | {tokens}))


def measure(
    contenders: Sequence[Contender],
    ks: Sequence[int],
    observations: Sequence[Record],
    rounds: int,
    longest_ns: int,
    clock: Clock = time.perf_counter_ns,
) -> list[Timing]:
    """Time so many rounds, fewer once ``longest_ns`` has passed, but at least one.

    Warm-up rounds come first and do not count, except for the time that they take.
    """
    taken: dict[tuple[int, int], list[int]] = {
        (index, k): [] for index in range(len(contenders)) for k in ks
    }
    began_ns = clock()
    with _no_collection():
        for number in range(-WARM_UP_ROUNDS, rounds):
            if number > 0 and clock() - began_ns > longest_ns:
                break
            features = observations[number % len(observations)]
            for index in _rotated(range(len(contenders)), number):
                plan = contenders[index].plan
                plan(features, max(ks))
                for k in _rotated(ks, number):
                    started_ns = clock()
                    plan(features, k)
                    ended_ns = clock()
                    if number >= 0:
                        taken[index, k].append(ended_ns - started_ns)
    return [Timing(contenders[index], k, tuple(times)) for (index, k), times in taken.items()]


def _rotated(items: Sequence[int], by: int) -> list[int]:
    first = by % len(items)
    return [*items[first:], *items[:first]]


@contextmanager
def _no_collection() -> Iterator[None]:
    """The garbage collector rests, as it does in the planner."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
