"""Which layers a precision hurts: each is lowered alone, and the worst ones are kept as they were.

Layers of the policy change tokens, layers of the decoder change actions, so each kind is judged by
its own figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from calibration.gate import Bounds
from calibration.parity import (
    Reference,
    action_errors,
    free_tokens,
    share,
    summary,
)
from calibration.products import Graphs
from calibration.session import GraphModel

Lower = Callable[[Sequence[str]], Graphs]
"""Graphs in which only the given layers are lowered to the precision."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Damage:
    """What one layer alone costs: share of tokens flipped running free, where a wrong token brings
    others with it, and the 99th percentile of the action error in rad at the longest prefix; the
    other of the two is 0."""

    layer: str
    tokens_flipped: float = 0.0
    action_error_p99_rad: float = 0.0

    @property
    def of_decoder(self) -> bool:
        return self.layer.startswith("decode/")


def scan(
    layers: Sequence[str], lower: Lower, truth: Reference, progress: Progress = lambda line: None
) -> list[Damage]:
    """The damage of every layer, worst first within the policy, then within the decoder."""
    damages = []
    for number, layer in enumerate(layers):
        progress(f"sensitivity {number + 1}/{len(layers)}: {layer}")
        damages.append(_damage(layer, GraphModel(lower([layer])), truth))
    order = lambda d: (d.of_decoder, -d.tokens_flipped, -d.action_error_p99_rad)  # noqa: E731
    return sorted(damages, key=order)


def choose_kept(
    damages: Sequence[Damage],
    lower: Lower,
    truth: Reference,
    bounds: Bounds,
    progress: Progress = lambda line: None,
) -> list[str]:
    """The fewest of the worst layers that have to stay as they are to meet the bounds.

    Tokens are judged running free at every prefix, actions at every prefix. Where even all layers
    kept do not meet a bound, all are kept.
    """
    kept: list[str] = []
    for decoder, meets in ((False, _tokens_agree), (True, _actions_are_near)):
        ranked = [damage.layer for damage in damages if damage.of_decoder == decoder]

        def enough(count: int, ranked: list[str] = ranked, meets: _Meets = meets) -> bool:
            progress(f"mixed precision: {count} of {len(ranked)} kept")
            return meets(GraphModel(lower(ranked[count:])), truth, bounds)

        kept += ranked[: _fewest(len(ranked), enough)]
    return kept


def worst(damages: Sequence[Damage], bounds: Bounds) -> Damage | None:
    """The layer that hurts most, measured by the bounds."""

    def weight(damage: Damage) -> float:
        tokens = damage.tokens_flipped / max(1.0 - bounds.min_token_agreement, 1e-9)
        return tokens + damage.action_error_p99_rad / max(bounds.max_action_error_rad, 1e-9)

    return max(damages, key=weight, default=None)


def table(damages: Sequence[Damage]) -> list[dict[str, Any]]:
    """The scan as the parity report stores it."""
    return [asdict(damage) for damage in damages]


_Meets = Callable[[GraphModel, Reference, Bounds], bool]


def _damage(layer: str, model: GraphModel, truth: Reference) -> Damage:
    if layer.startswith("decode/"):
        error = summary(action_errors(model, truth, truth.longest))
        return Damage(layer, action_error_p99_rad=error["p99"])
    flipped = 1.0 - share(free_tokens(model, truth) == truth.tokens)
    return Damage(layer, tokens_flipped=round(flipped, 4))


def _tokens_agree(model: GraphModel, truth: Reference, bounds: Bounds) -> bool:
    equal = free_tokens(model, truth) == truth.tokens
    return all(share(equal[:, :k]) >= bounds.min_token_agreement for k in truth.prefixes)


def _actions_are_near(model: GraphModel, truth: Reference, bounds: Bounds) -> bool:
    errors = {str(k): summary(action_errors(model, truth, k)) for k in truth.prefixes}
    return not bounds.broken_errors(errors)


def _fewest(count: int, enough: Callable[[int], bool]) -> int:
    """The least number in 0 … count that is enough, by bisection; ``count`` counts as enough."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low
