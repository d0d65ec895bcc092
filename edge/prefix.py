"""How long a prefix fits before a deadline: the latency model and the decision after each token.

Pure arithmetic over integers of nanoseconds; the planner reads the clock and hands the time in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

QUANTILE = 0.99
MARGIN_NS = 30_000  # publishing the chunk, and the reading of the clock itself
COARSE_SHARE = 0.1  # of the budget: a coarse chunk comes first where its decode costs less
_RISE, _FALL, _MOST = 0.5, 0.2, 4.0


@dataclass(frozen=True, slots=True)
class Profile:
    """Durations of the stages on this device, in ns: a high quantile, and the median."""

    token_ns: int
    decode_ns: int
    token_median_ns: int
    decode_median_ns: int

    @staticmethod
    def of(token_ns: list[int], decode_ns: list[int]) -> Profile:
        """The profile of measured samples."""
        return Profile(
            _quantile(token_ns, QUANTILE),
            _quantile(decode_ns, QUANTILE),
            _quantile(token_ns, 0.5),
            _quantile(decode_ns, 0.5),
        )


class LatencyModel:
    """A profile and its online correction: one factor that follows how slow the device is now.

    It rises fast and falls slowly, so a throttled board shortens its prefix within a few plans.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.factor = 1.0

    @property
    def token_ns(self) -> int:
        """Expected high quantile of the next token's duration."""
        return round(self.profile.token_ns * self.factor)

    @property
    def decode_ns(self) -> int:
        """Expected high quantile of a decode's duration."""
        return round(self.profile.decode_ns * self.factor)

    def observe(self, tokens: int, decodes: int, taken_ns: int) -> None:
        """Learn from a plan: so many tokens and decodes together took ``taken_ns``."""
        profile = self.profile
        expected = tokens * profile.token_median_ns + decodes * profile.decode_median_ns
        ratio = min(_MOST, taken_ns / expected)
        rate = _RISE if ratio > self.factor else _FALL
        self.factor += rate * (ratio - self.factor)


def another_token_fits(model: LatencyModel, now_ns: int, deadline_ns: int) -> bool:
    """Whether one more token and the decode after it end before the deadline."""
    return now_ns + model.token_ns + model.decode_ns + MARGIN_NS <= deadline_ns


def coarse_first(model: LatencyModel, budget_ns: int) -> bool:
    """Whether a chunk of one token is cheap enough to be published before going on."""
    return model.decode_ns <= COARSE_SHARE * budget_ns


def _quantile(samples_ns: list[int], quantile: float) -> int:
    return int(np.quantile(np.asarray(samples_ns), quantile))
