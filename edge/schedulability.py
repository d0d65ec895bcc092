"""Whether a robot's rates can hold on this device: arithmetic on wire times and measured samples.

A tick reads the bus, decides, and writes; on a half-duplex line the setpoints must be through
before the next question. So a rate holds if, at p99, reading + computing + writing fit into its
period; above ``TIGHT`` of it there is little left for what was not measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from edge.latency import Samples
from edge.rates import NS_PER_S, NS_PER_US, period_ns
from firmware_bridge.wire_cost import CycleCost

Int64Array = npt.NDArray[np.int64]

SHARES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
TIGHT = 0.8  # of the period
PUBLISH_NS = 30_000  # of a plan, beside its stages: the bell, the mailbox


class Verdict(str, Enum):
    """Whether a rate holds."""

    HOLDS = "holds"
    TIGHT = "tight"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of a duration, ns, and of how many samples."""

    p50: int
    p99: int
    p999: int
    samples: int

    @staticmethod
    def of(samples_ns: Int64Array) -> Quantiles:
        """Quantiles of samples, shape (n,), n ≥ 1."""
        p50, p99, p999 = np.quantile(samples_ns, list(SHARES.values())).astype(int).tolist()
        return Quantiles(p50, p99, p999, len(samples_ns))


@dataclass(frozen=True, slots=True)
class TickCost:
    """What a tick costs. ``wire``: by bus.

    ``read`` is measured on the open bus, codec and kernel included; ``compute`` is everything of a
    tick but the bus. Either is None where it was not measured.
    """

    rate_hz: int
    wire: dict[str, CycleCost] = field(default_factory=dict)
    read: Quantiles | None = None
    compute: Quantiles | None = None

    @property
    def period_ns(self) -> int:
        """Time between two ticks."""
        return period_ns(self.rate_hz)

    @property
    def wire_ns(self) -> int:
        """Wire time of the slowest bus; buses work at the same time."""
        return max((cost.cycle_ns for cost in self.wire.values()), default=0)

    def need_ns(self, share: str = "p99") -> int:
        """Time that a tick needs at that quantile; what was not measured counts as its least."""
        read_ns = max((cost.read_ns for cost in self.wire.values()), default=0)
        write_ns = max((cost.write_ns for cost in self.wire.values()), default=0)
        measured_ns: int = getattr(self.read, share) if self.read is not None else 0
        compute_ns: int = getattr(self.compute, share) if self.compute is not None else 0
        return max(read_ns, measured_ns) + compute_ns + write_ns

    @property
    def verdict(self) -> Verdict:
        """Of the rate, at p99."""
        return _verdict(self.need_ns(), self.period_ns)

    def highest_rate_hz(self, step_hz: float) -> int:
        """The highest multiple of ``step_hz`` (the policy's rate) that holds; 0 if none does."""
        return int(NS_PER_S // self.need_ns() // step_hz * step_hz) if self.need_ns() else 0


def _verdict(need_ns: int, available_ns: int) -> Verdict:
    if need_ns > available_ns:
        return Verdict.REFUSED
    return Verdict.TIGHT if need_ns > TIGHT * available_ns else Verdict.HOLDS


@dataclass(frozen=True, slots=True)
class PlanCost:
    """How long plans take by prefix length (from 1), and the budget that they have."""

    budget_ns: int
    by_prefix: tuple[Quantiles, ...]

    def prefix(self, share: str) -> int:
        """The longest prefix that fits the budget at that quantile; 0 if none does."""
        fitting = [
            length
            for length, quantiles in enumerate(self.by_prefix, start=1)
            if getattr(quantiles, share) <= self.budget_ns
        ]
        return max(fitting, default=0)

    @property
    def verdict(self) -> Verdict:
        """Refused where not even one token fits at p99; tight where it fails at p99.9."""
        if not self.prefix("p99"):
            return Verdict.REFUSED
        return Verdict.HOLDS if self.prefix("p999") else Verdict.TIGHT


def plan_cost(samples: Samples, budget_us: int) -> PlanCost:
    """From measured plans; a prefix takes its prefill, its tokens, and a decode of its length.

    Each plan decoded one length only: for the others its decode is moved by the difference of the
    medians, so that every quantile rests on all plans.
    """
    ends_ns = samples.prefill_ns[:, None] + np.cumsum(samples.token_ns, axis=1) + PUBLISH_NS
    medians_ns = _decode_medians(samples)
    excess_ns = samples.decode_ns - medians_ns[samples.prefix - 1]
    by_prefix = tuple(
        Quantiles.of(ends_ns[:, index] + medians_ns[index] + excess_ns)
        for index in range(samples.token_ns.shape[1])
    )
    return PlanCost(budget_us * NS_PER_US, by_prefix)


def _decode_medians(samples: Samples) -> Int64Array:
    """Median decode by prefix length, shape (tokens,); of all where a length was not decoded."""
    medians_ns = np.full(samples.token_ns.shape[1], np.median(samples.decode_ns)).astype(np.int64)
    for length in np.unique(samples.prefix).tolist():
        medians_ns[length - 1] = np.median(samples.decode_ns[samples.prefix == length])
    return medians_ns


def reasons(
    tick: TickCost, plan: PlanCost | None, rate_step_hz: float, horizon_ns: int
) -> list[str]:
    """Why the rates cannot hold, one line each; empty where they do.

    ``horizon_ns``: how long a chunk is executed before the next one is due.
    """
    found = []
    if tick.verdict is Verdict.REFUSED:
        by = "" if tick.compute is not None else " by the wire alone"
        found.append(
            f"servo.rate_hz {tick.rate_hz} cannot hold: a tick needs "
            f"{tick.need_ns() / NS_PER_US:.0f} µs at p99 and has "
            f"{tick.period_ns / NS_PER_US:.0f} µs; "
            f"the highest rate that holds{by} is {tick.highest_rate_hz(rate_step_hz)}"
        )
    if plan is not None and plan.verdict is Verdict.REFUSED:
        found.append(
            f"planner.budget_us {plan.budget_ns // NS_PER_US} cannot hold: one token takes "
            f"{plan.by_prefix[0].p99 / NS_PER_US:.0f} µs at p99"
        )
    if plan is not None and plan.budget_ns > horizon_ns:
        found.append(
            f"planner.budget_us {plan.budget_ns // NS_PER_US} cannot hold: a plan is due every "
            f"{horizon_ns / NS_PER_US:.0f} µs"
        )
    return found
