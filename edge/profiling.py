"""Measures an engine's stages on this device."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from edge.bundle import Manifest
from edge.engines import Engine
from edge.latency import Samples
from edge.records import request_dtype
from edge.shared_memory import Record
from edge.warm_up import run_shortest, run_through

WARM_UP_PLANS = 10
PAUSE_S = 0.003

Clock = Callable[[], int]


def measure(
    engine: Engine, manifest: Manifest, plans: int, clock: Clock = time.monotonic_ns
) -> Samples:
    """Durations of ``plans`` whole plans after a warm-up; the first runs do not count.

    Every prefix is decoded in turn. A pause before each plan gives the core to others, and a whole
    and a shortest plan for nobody follow it, as between and before real plans (``edge.warm_up``).
    """
    features = np.zeros((), request_dtype(manifest))["features"]
    tokens = manifest.tokenizer.tokens
    prefix = 1 + np.arange(WARM_UP_PLANS + plans) % tokens
    ends_ns = []
    for decoded in prefix.tolist():
        time.sleep(PAUSE_S)
        run_through(engine, features, tokens)
        run_shortest(engine, features)
        ends_ns.append(time_plan(engine, features, tokens, decoded, clock))
    prefix = prefix[WARM_UP_PLANS:]
    stages_ns = np.diff(ends_ns[WARM_UP_PLANS:], axis=1)
    return Samples(prefix, stages_ns[:, 0], stages_ns[:, 1:-1], stages_ns[:, -1])


def time_plan(
    engine: Engine, features: Record, tokens: int, prefix: int, clock: Clock = time.monotonic_ns
) -> list[int]:
    """Times of one plan's start and of every stage's end: prefill, each token, decode."""
    times_ns = [clock()]
    engine.prefill(features)
    times_ns.append(clock())
    for _ in range(tokens):
        engine.next_token()
        times_ns.append(clock())
    engine.decode(prefix)
    times_ns.append(clock())
    engine.decode_full(prefix)
    return times_ns
