"""The controller's clock as the host sees it (docs/oatlink.md, section 9)."""

from __future__ import annotations

import math
from typing import NamedTuple

NS_PER_US = 1000
NS_PER_S = 1_000_000_000
DECAY = 1 / 30  # weight of a new sample once there are many
PRIOR_S2 = 1.0  # spread of samples at which their slope is believed as much as a perfect crystal
OUTLIER_SIGMAS = 5.0
OUTLIER_NS = 500_000
TRIPS_AGEING = 1.05  # per sample: a shortest round trip that never comes again is forgotten
NEAR_SHORTEST = 1.5
NEAR_SHORTEST_NS = 200_000
FIRST_SAMPLES = 4  # before so many, no sample is an outlier
STEP_AFTER = 5  # outliers in a row: the clock has stepped


class TimeSample(NamedTuple):
    """One exchange: monotonic times of question and answer, and what the controller said.

    ``controller_us`` (64 bits) is when it received the question, ``busy_us`` how long it took to
    answer.
    """

    sent_ns: int
    received_ns: int
    controller_us: int
    busy_us: int = 0

    @property
    def trip_ns(self) -> int:
        """Time on the way, both ways."""
        return max(0, self.received_ns - self.sent_ns - self.busy_us * NS_PER_US)


class ClockEstimator:
    """Decaying regression of controller time over monotonic time; before any sample it is 0 = 0.

    What is fitted is the deviation from a clock of nominal speed, so that few samples, close
    together, give an offset and hardly a slope.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget everything."""
        self.samples = 0
        self.outliers = 0
        self.stepped = False
        self.shortest_trip_ns = math.inf
        self._outliers_in_a_row = 0
        self._origin_ns = 0  # host
        self._origin_us = 0  # controller
        self._mean_x_s = 0.0
        self._mean_deviation_ns = 0.0
        self._variance_s2 = 0.0
        self._covariance = 0.0
        self._residual_ns2 = 0.0

    def guess(self, host_ns: int, controller_us: int) -> None:
        """Set the offset until the first sample comes."""
        self._origin_ns, self._origin_us = host_ns, controller_us

    def begin(self, samples: list[TimeSample]) -> int:
        """Start from rapid exchanges, the quickest first; returns how many were used."""
        self.restart()
        return sum(map(self.add, sorted(samples, key=lambda sample: sample.trip_ns)))

    def add(self, sample: TimeSample) -> bool:
        """Take one exchange; False if it was not used."""
        trip_ns = sample.trip_ns
        self.shortest_trip_ns = min(self.shortest_trip_ns * TRIPS_AGEING, trip_ns)
        if trip_ns > self.shortest_trip_ns * NEAR_SHORTEST + NEAR_SHORTEST_NS:
            return False
        middle_ns = sample.sent_ns + trip_ns // 2
        if self.samples == 0:
            self.guess(middle_ns, sample.controller_us)
        x_s = (middle_ns - self._origin_ns) / NS_PER_S
        elapsed_us = sample.controller_us - self._origin_us
        deviation_ns = float(elapsed_us * NS_PER_US - (middle_ns - self._origin_ns))
        residual_ns = deviation_ns - self._deviation_ns(x_s)
        if self._is_outlier(residual_ns):
            return False
        self._update(x_s, deviation_ns, residual_ns)
        return True

    def controller_us(self, host_ns: int) -> int:
        """The controller's time at a monotonic time."""
        elapsed_ns = host_ns - self._origin_ns
        deviation_ns = self._deviation_ns(elapsed_ns / NS_PER_S)
        return self._origin_us + round((elapsed_ns + deviation_ns) / NS_PER_US)

    def host_ns(self, controller_us: int) -> int:
        """The monotonic time of a controller's time; the slope is tiny, one correction suffices."""
        elapsed_ns = (controller_us - self._origin_us) * NS_PER_US
        first = elapsed_ns - self._deviation_ns(elapsed_ns / NS_PER_S)
        return self._origin_ns + round(elapsed_ns - self._deviation_ns(first / NS_PER_S))

    @property
    def sigma_ns(self) -> float:
        """Standard deviation of the samples around the prediction."""
        return math.sqrt(self._residual_ns2)

    def _deviation_ns(self, x_s: float) -> float:
        slope = self._covariance / (self._variance_s2 + PRIOR_S2)
        return self._mean_deviation_ns + slope * (x_s - self._mean_x_s)

    def _is_outlier(self, residual_ns: float) -> bool:
        gate_ns = max(OUTLIER_SIGMAS * self.sigma_ns, OUTLIER_NS)
        if self.samples < FIRST_SAMPLES or abs(residual_ns) <= gate_ns:
            self._outliers_in_a_row = 0
            return False
        self.outliers += 1
        self._outliers_in_a_row += 1
        self.stepped = self.stepped or self._outliers_in_a_row >= STEP_AFTER
        return True

    def _update(self, x_s: float, deviation_ns: float, residual_ns: float) -> None:
        self.samples += 1
        weight = max(1 / self.samples, DECAY)
        dx, dy = x_s - self._mean_x_s, deviation_ns - self._mean_deviation_ns
        self._mean_x_s += weight * dx
        self._mean_deviation_ns += weight * dy
        self._variance_s2 = (1 - weight) * (self._variance_s2 + weight * dx * dx)
        self._covariance = (1 - weight) * (self._covariance + weight * dx * dy)
        self._residual_ns2 += weight * (residual_ns * residual_ns - self._residual_ns2)
