"""How long a plan takes, observation to actions, per engine, precision and prefix length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge import bundle as bundles
from edge.bundle import Bundle
from edge.commands.benchmarks.contenders import (
    Contender,
    engine_contender,
    parse_engines,
    parse_precisions,
)
from edge.commands.benchmarks.device import device_facts
from edge.commands.benchmarks.timing import Timing, measure, prefixes
from edge.commands.benchmarks.torch_plain import torch_contender
from edge.errors import UsageError
from edge.rates import NS_PER_S
from edge.records import request_dtype
from edge.shared_memory import Record

BASELINE = "torch"
BASELINES = (BASELINE, "none")
OBSERVATIONS = 16
SEED = 0


def bench_inference(
    path: Path, engines: str, precisions: str | None, baseline: str, plans: int, seconds: float
) -> dict[str, Any]:
    """The whole measurement as JSON values. Raises OatEdgeError; see the command for arguments."""
    if baseline not in BASELINES:
        raise UsageError(f"--baseline is {baseline!r}, allowed are {', '.join(BASELINES)}")
    names = parse_engines(engines)
    bundle = bundles.load(path)
    chosen = parse_precisions(precisions, bundle)
    contenders = [torch_contender(bundle)] if baseline == BASELINE else []
    contenders += [engine_contender(bundle, name, one) for name in names for one in chosen]
    device = device_facts()
    timings = measure(
        contenders,
        prefixes(bundle.manifest.tokenizer.tokens),
        observations(bundle, OBSERVATIONS, SEED),
        plans,
        round(seconds * NS_PER_S),
    )
    return report(bundle, device, timings)


def observations(bundle: Bundle, count: int, seed: int) -> list[Record]:
    """Random observations; the time of a plan does not depend on their values."""
    random = np.random.default_rng(seed)
    records = np.zeros(count, request_dtype(bundle.manifest))["features"]
    for key in records.dtype.names or ():
        records[key] = random.uniform(-1.0, 1.0, records[key].shape)
    return [records[index] for index in range(count)]


def report(bundle: Bundle, device: dict[str, Any], timings: Sequence[Timing]) -> dict[str, Any]:
    """Rows of all timings, and by how much each engine is faster than the baseline at the median.

    ``speedup_p50``: engine → k → precision → factor; empty without a baseline.
    """
    execute = bundle.manifest.action.execution_horizon
    baseline = _baseline(timings)
    return {
        "bench": "inference",
        "bundle": {"name": bundle.manifest.name, "digest": bundle.digest},
        "device": device,
        "rows": [_row(timing, execute, baseline) for timing in timings],
        "speedup_p50": _speedups(timings, baseline),
    }


def _row(timing: Timing, execute: int, baseline: dict[int, float]) -> dict[str, Any]:
    contender: Contender = timing.contender
    return {
        "engine": contender.engine,
        "precision": contender.precision,
        "k": timing.k,
        "execute": execute,
        "decoded": contender.decoded,
        "min_us": timing.quantile_us(0.0),
        "p50_us": timing.quantile_us(0.5),
        "p99_us": timing.quantile_us(0.99),
        "max_us": timing.quantile_us(1.0),
        "n": len(timing.taken_ns),
        "speedup_p50": _speedup(timing, baseline),
        **contender.facts,
    }


def _baseline(timings: Sequence[Timing]) -> dict[int, float]:
    """Median of the baseline by prefix length; empty where it did not take part."""
    return {t.k: t.quantile_us(0.5) for t in timings if t.contender.engine == BASELINE}


def _speedup(timing: Timing, baseline: dict[int, float]) -> float | None:
    if timing.k not in baseline:
        return None
    return round(baseline[timing.k] / timing.quantile_us(0.5), 2)


def _speedups(
    timings: Sequence[Timing], baseline: dict[int, float]
) -> dict[str, dict[str, dict[str, float]]]:
    factors: dict[str, dict[str, dict[str, float]]] = {}
    for timing in timings:
        engine, factor = timing.contender.engine, _speedup(timing, baseline)
        if engine != BASELINE and factor is not None:
            by_precision = factors.setdefault(engine, {}).setdefault(str(timing.k), {})
            by_precision[timing.contender.precision] = factor
    return factors
