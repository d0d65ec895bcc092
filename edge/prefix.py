"""Which prefix to decode: pure decisions on the time, the latency model and the deadline."""

from __future__ import annotations

from edge.latency import LatencyModel

MARGIN_NS = 30_000  # publishing the chunk, and reading the clock
COARSE_SHARE = 0.1  # of the budget: a coarse chunk comes first where its decode costs less


def another_token_fits(
    model: LatencyModel, tokens: int, decodes: int, started_ns: int, now_ns: int, deadline_ns: int
) -> bool:
    """Whether one more token after ``tokens`` and the decode after it end before the deadline.

    The plan started at ``started_ns`` and has decoded ``decodes`` times so far.
    """
    finish_ns = model.finish_ns(tokens, now_ns - started_ns, decodes)
    return now_ns + finish_ns + MARGIN_NS <= deadline_ns


def coarse_first(model: LatencyModel, budget_ns: int) -> bool:
    """Whether a chunk of one token is cheap enough to be published before going on."""
    return model.profile.decode_ns * model.factor <= COARSE_SHARE * budget_ns
