"""What a fuzzer counts, and the noise that it makes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

SIGMAS = 6.0  # chance alone goes further once in 10^9 runs
LONGEST_NOISE = 120


@dataclass
class Tally:
    """``expected`` is how often damage had to pass its checks by their own promise."""

    good: int = 0
    checked: int = 0
    passed: int = 0
    expected: float = 0.0

    def count_check(self, checks: int, passed: bool, promise: float) -> None:
        """One damaged input that had so many check sums to pass."""
        self.checked += 1
        self.passed += passed
        self.expected += checks * promise

    @property
    def most_allowed(self) -> int:
        """How often damage may have passed."""
        return math.ceil(self.expected + SIGMAS * math.sqrt(self.expected))

    def judge(self, name: str) -> None:
        """Raise ``AssertionError`` if more passed than promised."""
        assert self.passed <= self.most_allowed, (
            f"{name}: {self.passed} damaged inputs were accepted, promised are {self.expected:.2f}"
        )


def noise(chance: Random, mark: bytes | None = None, longest: int = LONGEST_NOISE) -> bytes:
    """Random bytes, often with ``mark`` among them."""
    data = chance.randbytes(chance.randrange(longest))
    if mark is None or chance.random() < 0.3:
        return data
    at = chance.randrange(len(data) + 1)
    return data[:at] + mark + data[at:]
