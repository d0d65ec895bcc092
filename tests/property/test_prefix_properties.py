from __future__ import annotations

from copy import deepcopy

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.latency import LatencyModel, Profile
from edge.prefix import MARGIN_NS, another_token_fits

durations = st.integers(1_000, 5_000_000)


def observe(model: LatencyModel, slowness: float) -> None:
    profile = model.profile
    tokens = np.array([round(slowness * token) for token in profile.token_ns])
    model.observe(tokens, round(slowness * profile.decode_ns))


@st.composite
def models(draw: st.DrawFn) -> LatencyModel:
    tokens = draw(st.integers(1, 8))
    token_ns = tuple(draw(st.lists(durations, min_size=tokens, max_size=tokens)))
    decode_ns = draw(durations)
    spread = draw(st.integers(1, 5))
    finish_ns = tuple(spread * (token + decode_ns) for token in token_ns)
    model = LatencyModel(Profile(draw(durations), token_ns, decode_ns, finish_ns))
    for _ in range(draw(st.integers(0, 10))):
        observe(model, draw(st.floats(0.1, 20)))
    return model


def reach(model: LatencyModel, taken: list[int], deadline_ns: int) -> int:
    """The prefix that is reached on a device whose tokens take ``taken`` ns."""
    now_ns = model.profile.prefill_ns
    for prefix, token_ns in enumerate(taken, start=1):
        now_ns += token_ns
        if prefix == len(taken):
            break
        if not another_token_fits(model, prefix, token_ns, now_ns, deadline_ns):
            break
    return prefix


@given(models(), st.integers(0, 60_000_000), st.integers(0, 20_000_000))
def test_a_later_deadline_never_shortens_the_prefix(
    model: LatencyModel, deadline_ns: int, more_ns: int
) -> None:
    taken = list(model.profile.token_ns)
    assert reach(model, taken, deadline_ns) <= reach(model, taken, deadline_ns + more_ns)


@given(models(), st.integers(0, 60_000_000), durations, st.integers(0, 10_000_000), st.data())
def test_a_token_is_only_begun_if_the_model_says_that_it_fits(
    model: LatencyModel, deadline_ns: int, last_ns: int, now_ns: int, data: st.DataObject
) -> None:
    tokens = data.draw(st.integers(0, len(model.profile.token_ns) - 1))
    fits = another_token_fits(model, tokens, last_ns, now_ns, deadline_ns)
    finish_ns = model.finish_ns(tokens, last_ns)
    assert fits == (now_ns + finish_ns + model.publish_ns + MARGIN_NS <= deadline_ns)
    profile = model.profile
    usual_ns = profile.token_ns[tokens] + profile.decode_ns
    torn_ns = profile.finish_ns[tokens] - usual_ns
    assert finish_ns >= round(usual_ns * model.factor + torn_ns)


@given(models(), st.floats(1.0, 8.0), st.integers(0, 60_000_000))
def test_a_device_that_is_known_to_be_slower_never_gets_a_longer_prefix(
    model: LatencyModel, slowness: float, deadline_ns: int
) -> None:
    taken = list(model.profile.token_ns)
    slower = deepcopy(model)
    slower.rescale(slowness)
    usual_taken = [round(token * model.factor) for token in taken]
    slow_taken = [round(token * slower.factor) for token in taken]
    assert reach(slower, slow_taken, deadline_ns) <= reach(model, usual_taken, deadline_ns)


@given(models(), st.lists(st.floats(0.0, 1e6), min_size=1, max_size=30))
def test_whatever_was_observed_the_correction_stays_within_bounds(
    model: LatencyModel, slowness: list[float]
) -> None:
    for ratio in slowness:
        observe(model, ratio)
        assert 0.5 <= model.factor <= 8.0
