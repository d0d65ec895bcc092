"""The gate: what a precision must keep of the trained model to be let into a bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Figures = Mapping[str, Any]
"""A row of the parity report: metric → prefix → value."""


class GateError(ValueError):
    """A precision is refused; the message names the figure, the bound and the worst layer."""


@dataclass(frozen=True)
class Bounds:
    """Bounds on every trained prefix.

    ``max_action_error_rad``: 99th percentile over joints and executed steps, at equal tokens, and
    ``max_largest_error_rad`` the largest of all, of which a percentile says nothing.
    ``min_token_agreement``: share of equal tokens, running free; what the observations show with
    95 % confidence has to reach it. ``max_success_drop``: against FP32 on the same starts, in
    percentage points; looked at where episodes were run.
    """

    max_action_error_rad: float = 0.01
    min_token_agreement: float = 0.97
    max_success_drop: float = 2.0
    max_largest_error_rad: float = 0.05

    def __post_init__(self) -> None:
        for name, value, top in (
            ("max_action_error_rad", self.max_action_error_rad, float("inf")),
            ("min_token_agreement", self.min_token_agreement, 1.0),
            ("max_success_drop", self.max_success_drop, 100.0),
            ("max_largest_error_rad", self.max_largest_error_rad, float("inf")),
        ):
            if not 0.0 <= value <= top:
                raise ValueError(f"{name} is {value}; allowed are 0 to {top:g}")

    def scaled(self, share: float) -> Bounds:
        """Tighter ones, which leave only ``share`` of the error and of the disagreement."""
        return Bounds(
            self.max_action_error_rad * share,
            1.0 - (1.0 - self.min_token_agreement) * share,
            self.max_success_drop,
            self.max_largest_error_rad * share,
        )

    def broken_errors(self, errors: Figures) -> list[str]:
        """One line for each bound that action errors, ``p99`` and ``max`` by prefix, break."""
        bounds = {"p99": self.max_action_error_rad, "max": self.max_largest_error_rad}
        found = []
        for name, allowed in bounds.items():
            each = {k: float(error[name]) for k, error in errors.items()}
            k, error = max(each.items(), key=lambda item: (math.isnan(item[1]), item[1]))
            if not error <= allowed:
                found.append(f"action error {name} {error:.3g} rad at k = {k}, allowed {allowed:g}")
        return found


def violations(figures: Figures, bounds: Bounds, baseline: Figures | None = None) -> list[str]:
    """One line for each bound that a precision breaks, at the prefix where it breaks it most.

    Where the figures have no ``token_agreement_low``, the agreement itself is judged.
    ``baseline``: closed loop of FP32 by prefix.
    """
    found = []
    shown = figures.get("token_agreement_low", figures["token_agreement"])
    k, low = min(shown.items(), key=lambda item: item[1])
    if low < bounds.min_token_agreement:
        found.append(
            f"token agreement {figures['token_agreement'][k]:.4f} at k = {k}, shown are {low:.4f}, "
            f"required {bounds.min_token_agreement:g}"
        )
    found += bounds.broken_errors(figures["action_error_rad"])
    if baseline and "closed_loop" in figures:
        found += _success_drop(figures["closed_loop"], baseline, bounds.max_success_drop)
    return found


def _success_drop(runs: Figures, baseline: Figures, allowed: float) -> list[str]:
    drops = {
        k: 100.0 * (baseline[k]["successes"] - run["successes"]) / run["episodes"]
        for k, run in runs.items()
    }
    k, drop = max(drops.items(), key=lambda item: item[1])
    if drop <= allowed:
        return []
    return [f"success drops by {drop:.1f} points at k = {k}, allowed {allowed:g}"]
