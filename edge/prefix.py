"""Which prefix to decode: pure decisions on the time, the latency model and the deadline."""

from __future__ import annotations

from edge.latency import LatencyModel

MARGIN_NS = 30_000  # publishing the chunk, and reading the clock
COARSE_SHARE = 0.1  # of the budget: a coarse chunk comes first where its decode costs less


def another_token_fits(
    model: LatencyModel, tokens: int, last_token_ns: int, now_ns: int, deadline_ns: int
) -> bool:
    """Whether one more token after ``tokens`` and the decode after it end before the deadline.

    ``last_token_ns``: how long the last of those tokens took.
    """
    return now_ns + model.finish_ns(tokens, last_token_ns) + MARGIN_NS <= deadline_ns


def coarse_first(model: LatencyModel, budget_ns: int) -> bool:
    """Whether a chunk of one token is cheap enough to be published before going on."""
    return model.profile.decode_ns * model.factor <= COARSE_SHARE * budget_ns
