"""Which prefix to decode: pure decisions on the time, the latency model and the deadline.

As long as no chunk of a plan is out, only what fits with near certainty is begun. With a chunk out
the deadline is kept whatever comes: then what will probably fit is begun, too.
"""

from __future__ import annotations

from edge.latency import LatencyModel

MARGIN_NS = 30_000  # a short gap that the system may tear into a plan
COARSE_SHARE = 0.1  # of the budget: a coarse chunk comes first where its decode costs less


def another_token_fits(
    model: LatencyModel, tokens: int, last_stage_ns: int, now_ns: int, deadline_ns: int
) -> bool:
    """Whether one more token after ``tokens`` and the decode after it surely end in time.

    ``last_stage_ns``: how long the last of those tokens took, or prefill where it is the first.
    """
    reserve_ns = model.publish_ns + MARGIN_NS
    return now_ns + model.finish_ns(tokens, last_stage_ns) + reserve_ns <= deadline_ns


def another_token_will_probably_fit(
    model: LatencyModel, tokens: int, seen: float, now_ns: int, deadline_ns: int
) -> bool:
    """The same by usual durations: for when a chunk is out already, and nothing is at risk.

    ``seen``: how many times their usual duration the stages before took, as far as it tells of now.
    """
    finish_ns = model.usual_finish_ns(tokens, seen) + model.publish_ns
    return now_ns + finish_ns <= deadline_ns


def decode_will_probably_fit(
    model: LatencyModel, seen: float, now_ns: int, deadline_ns: int
) -> bool:
    """Whether a decode ends in time by its usual duration."""
    finish_ns = model.usual_decode_ns(seen) + model.publish_ns
    return now_ns + finish_ns <= deadline_ns


def coarse_first(model: LatencyModel, budget_ns: int) -> bool:
    """Whether a chunk of one token is cheap enough to be published before going on."""
    return model.profile.decode_ns * model.factor <= COARSE_SHARE * budget_ns
