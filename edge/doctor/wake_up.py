"""How late this machine wakes a process now: measured, not guessed from settings."""

from __future__ import annotations

import time
from dataclasses import dataclass

from edge.doctor.finding import Finding, Status
from edge.rates import NS_PER_S, NS_PER_US
from edge.realtime import configure
from edge.robot import RealTime
from edge.ticker import Ticker

AREA = "wake-up"
RATE_HZ = 500
SECONDS = 2.0
PRIORITY = 80
EDGES_US = (10, 20, 50, 100, 200, 500, 1_000, 5_000)
GOOD_P99_US, BAD_P99_US = 200, 2_000  # a servo spins 200 µs; at 200 Hz a tick has 5 ms


@dataclass(frozen=True, slots=True)
class WakeUps:
    """Sorted lateness of plain sleeps, ns, n ≥ 1, and what the kernel refused meanwhile."""

    lateness_ns: tuple[int, ...]
    warnings: tuple[str, ...] = ()

    def quantile_us(self, share: float) -> float:
        """A quantile by nearest rank, µs."""
        rank = min(len(self.lateness_ns) - 1, int(share * len(self.lateness_ns)))
        return self.lateness_ns[rank] / NS_PER_US

    def histogram(self) -> dict[str, int]:
        """Counts by upper edge in µs; the last bin is open."""
        bins = dict.fromkeys([*(f"<{edge}" for edge in EDGES_US), f">={EDGES_US[-1]}"], 0)
        names = list(bins)
        for late_ns in self.lateness_ns:
            index = sum(late_ns >= edge * NS_PER_US for edge in EDGES_US)
            bins[names[index]] += 1
        return bins


def measure(seconds: float = SECONDS) -> WakeUps:
    """Sleep from tick to tick as the servo does without spinning. Sets this process up for it."""
    warnings = configure(RealTime(priority=PRIORITY, wake_latency_us=0))
    ticker = Ticker(NS_PER_S // RATE_HZ, 0)
    ticker.restart()
    lateness_ns = []
    for _ in range(max(1, round(seconds * RATE_HZ))):
        due_ns = ticker.wait()
        lateness_ns.append(time.monotonic_ns() - due_ns)
    return WakeUps(tuple(sorted(lateness_ns)), tuple(warnings))


def examine(wake_ups: WakeUps) -> list[Finding]:
    """The finding that the measurement gives."""
    p50, p99 = wake_ups.quantile_us(0.5), wake_ups.quantile_us(0.99)
    value = f"p50 {p50:.0f}, p99 {p99:.0f}, max {wake_ups.lateness_ns[-1] / NS_PER_US:.0f} µs late"
    status = Status.OK
    if p99 > GOOD_P99_US:
        status = Status.FAIL if p99 > BAD_P99_US else Status.WARN
    fix = "" if status is Status.OK else "see the warnings above; then end what else runs here"
    return [Finding(AREA, f"wake-up at {RATE_HZ} Hz", status, value, fix)]
