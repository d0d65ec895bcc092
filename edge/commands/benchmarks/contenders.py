"""What a benchmark of inference compares: anything that turns an observation into actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge.bundle import Bundle
from edge.engine_names import ENGINES
from edge.engines import Float32Array, build_engine
from edge.errors import UsageError
from edge.shared_memory import Record

Plan = Callable[[Record, int], Float32Array]


@dataclass(frozen=True, slots=True)
class Contender:
    """``plan(features, k)`` goes from an observation to actions decoded from k tokens.

    ``decoded``: how many actions it decodes; ``facts``: what else its rows say.
    """

    engine: str
    precision: str
    decoded: int
    plan: Plan
    facts: Mapping[str, Any] = field(default_factory=dict)


def engine_contender(bundle: Bundle, engine: str, precision: str) -> Contender:
    """An engine as the planner uses it. Raises EngineError or BundleError where it cannot be."""
    built = build_engine(bundle, engine, precision)

    def plan(features: Record, prefix: int) -> Float32Array:
        built.prefill(features)
        for _ in range(prefix):
            built.next_token()
        return built.decode_full(prefix)

    return Contender(engine, precision, bundle.manifest.action.action_horizon, plan)


def parse_engines(names: str) -> list[str]:
    """Engines of a comma-separated list. Raises UsageError naming what is unknown."""
    return _parse("--engines", names, ENGINES)


def parse_precisions(names: str | None, bundle: Bundle) -> list[str]:
    """Precisions of a comma-separated list, or all of the bundle's. Raises UsageError."""
    have = tuple(bundle.manifest.graphs)
    return list(have) if names is None else _parse("--precisions", names, have)


def _parse(option: str, names: str, known: tuple[str, ...]) -> list[str]:
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        wrong = unknown[0] if unknown else names
        raise UsageError(f"{option} is {wrong!r}, allowed are {', '.join(known)}")
    return list(dict.fromkeys(chosen))
