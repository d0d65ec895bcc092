"""Measures an engine's stages on this device."""

from __future__ import annotations

import time

import numpy as np

from edge.bundle import Manifest
from edge.engines import Engine
from edge.latency import Samples
from edge.records import request_dtype
from edge.shared_memory import Record

WARM_UP_PLANS = 10
PAUSE_S = 0.003


def measure(engine: Engine, manifest: Manifest, plans: int) -> Samples:
    """Durations of ``plans`` whole plans after a warm-up; the first runs do not count.

    A pause before each gives the core to others, as between real plans: caches cool down, and a
    profile without that would promise too much.
    """
    features = np.zeros((), request_dtype(manifest))["features"]
    tokens = manifest.tokenizer.tokens
    for _ in range(WARM_UP_PLANS):
        time_plan(engine, features, tokens)
    ends_ns = np.array([time_plan(engine, features, tokens) for _ in range(plans)])
    stages_ns = np.diff(ends_ns, axis=1)
    return Samples(stages_ns[:, 0], stages_ns[:, 1:-1], stages_ns[:, -1])


def time_plan(engine: Engine, features: Record, tokens: int) -> list[int]:
    """After a pause, times of one plan's start and every stage's end: prefill, tokens, decode."""
    time.sleep(PAUSE_S)
    times_ns = [time.monotonic_ns()]
    engine.prefill(features)
    times_ns.append(time.monotonic_ns())
    for _ in range(tokens):
        engine.next_token()
        times_ns.append(time.monotonic_ns())
    engine.decode(tokens)
    times_ns.append(time.monotonic_ns())
    engine.decode_full(tokens)
    return times_ns
