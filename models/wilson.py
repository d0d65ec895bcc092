"""An interval for a share, from so many successes of so many trials."""

from __future__ import annotations

import math

Z_95 = 1.959964  # two-sided 95 % of the normal distribution


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """The score interval of Wilson (1927) for a binomial share; never leaves [0, 1]."""
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} successes of {trials} trials")
    share = successes / trials
    scale = 1.0 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    spread = share * (1.0 - share) / trials + z * z / (4 * trials * trials)
    half = z * math.sqrt(spread) / scale
    return max(0.0, centre - half), min(1.0, centre + half)
