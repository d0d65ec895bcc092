"""Throttling: notices that this device is being slowed down, or is about to be, and by how much.

What counts is the cap that the kernel's thermal and power management puts on a clock, not the
clock itself: an idle core is slow because nobody asks. Reading (``ClockReader``) and deciding
(``judge``) are separate; ``ThrottleWatch`` is what the planner asks between its plans.

Linux: admin-guide/pm/cpufreq (scaling_max_freq holds every constraint, the thermal one included),
driver-api/thermal/sysfs-api (millidegrees), ABI/testing/sysfs-class-devfreq.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.rates import NS_PER_MS
from edge.system_files import SystemFiles

POLL_NS = 250 * NS_PER_MS  # temperatures move in seconds
NEAR_TRIP_C = 3.0  # this close to a passive trip point the kernel is about to lower the clocks
NEAR_TRIP_FACTOR = 1.25  # what is allowed for, until it has done so and the cap tells
NOTABLE = 0.02  # caps that differ by less are rounding

_CPU_CAPS = "sys/devices/system/cpu/cpufreq/policy*/scaling_max_freq"
_GPU_CAPS = "sys/class/devfreq/*/max_freq"
_GPU_NAMES = ("gpu", "ga10b", "gv11b", "gpc")
_ZONES = "sys/class/thermal/thermal_zone*"
_POWER_MODE = "var/lib/nvpmodel/status"


@dataclass(frozen=True, slots=True)
class Zone:
    """A thermal zone: temperature and its lowest passive (clock-lowering) trip point, °C."""

    name: str
    temperature_c: float
    passive_c: float | None = None


@dataclass(frozen=True, slots=True)
class Clocks:
    """One reading: the highest clock allowed now by clock domain (a cpufreq policy, a GPU).

    Each domain counts in its own unit; only ratios to a reference matter.
    """

    caps: dict[str, int] = field(default_factory=dict)
    zones: tuple[Zone, ...] = ()
    power_mode: str = ""


@dataclass(frozen=True, slots=True)
class Throttle:
    """Stages take ``factor`` times as long as in the reference state; the reason, if above 1."""

    factor: float
    reason: str


FREE = Throttle(1.0, "")


def judge(now: Clocks, reference: Clocks) -> Throttle:
    """How much slower than ``reference``, the state in which the stages were timed.

    The slowest domain decides: inference waits for it. A zone close to its passive trip point
    counts as a slow-down that is about to come, so that the prefix shortens before a deadline is
    missed. The factor may be below 1: the reference itself was throttled.
    """
    slowed = [
        Throttle(reference.caps[name] / cap, _cap_reason(name, cap, reference.caps[name], now))
        for name, cap in now.caps.items()
        if cap > 0 and name in reference.caps
    ]
    capped = max(slowed, key=lambda throttle: throttle.factor, default=FREE)
    if capped.factor > 1.0 + NOTABLE:
        return capped
    near = _nearest_to_its_trip(now)
    if near is not None:
        return Throttle(NEAR_TRIP_FACTOR, near)
    return Throttle(capped.factor, "") if capped.factor < 1.0 - NOTABLE else FREE


def _cap_reason(name: str, cap: int, reference: int, now: Clocks) -> str:
    mode = f", power mode {now.power_mode}" if now.power_mode else ""
    hottest = max(now.zones, key=lambda zone: zone.temperature_c, default=None)
    heat = f", {hottest.name} {hottest.temperature_c:.0f} °C" if hottest is not None else ""
    return f"{name} clock capped at {cap / reference:.0%}{heat}{mode}"


def _nearest_to_its_trip(now: Clocks) -> str | None:
    for zone in now.zones:
        if zone.passive_c is not None and zone.temperature_c >= zone.passive_c - NEAR_TRIP_C:
            return (
                f"{zone.name} at {zone.temperature_c:.0f} °C, throttles at {zone.passive_c:.0f} °C"
            )
    return None


class ClockReader:
    """Finds the clock domains and thermal zones once, then reads them as often as asked."""

    def __init__(self, files: SystemFiles) -> None:
        self._files = files
        self._caps = {path.split("/")[-2]: path for path in files.paths(_CPU_CAPS)}
        for path in files.paths(_GPU_CAPS):
            name = path.split("/")[-2]
            if any(part in name.lower() for part in _GPU_NAMES):
                self._caps[name] = path
        self._zones = [(path, self._passive_c(path)) for path in files.paths(_ZONES)]

    def _passive_c(self, zone: str) -> float | None:
        trips = [
            self._files.number(path.replace("_type", "_temp"))
            for path in self._files.paths(f"{zone}/trip_point_*_type")
            if self._files.text(path) == "passive"
        ]
        return min((trip / 1000 for trip in trips if trip is not None and trip > 0), default=None)

    def read(self) -> Clocks:
        """One reading; whatever this device does not tell is left out."""
        caps = {name: self._files.number(path) for name, path in self._caps.items()}
        return Clocks(
            caps={name: cap for name, cap in caps.items() if cap is not None},
            zones=tuple(self._read_zones()),
            power_mode=self._files.text(_POWER_MODE) or "",
        )

    def _read_zones(self) -> list[Zone]:
        zones = []
        for path, passive_c in self._zones:
            millidegrees = self._files.number(f"{path}/temp")
            if millidegrees is not None:
                name = self._files.text(f"{path}/type") or path.rsplit("/", 1)[1]
                zones.append(Zone(name, millidegrees / 1000, passive_c))
        return zones


class ThrottleWatch:
    """Asked between plans, it looks at most every ``POLL_NS`` and speaks only of changes.

    The reference is the state at its creation: make it right before the engine's profile is
    measured, or hand in the state that a stored profile was measured in.
    """

    def __init__(self, reader: ClockReader, reference: Clocks | None = None) -> None:
        self.reference = reference if reference is not None else reader.read()
        self._reader = reader
        self._last = FREE
        self._due_ns = 0

    def poll(self, now_ns: int) -> Throttle | None:
        """The throttling since now, if it differs from what was said last; else None."""
        if now_ns < self._due_ns:
            return None
        self._due_ns = now_ns + POLL_NS
        throttle = judge(self._reader.read(), self.reference)
        if abs(throttle.factor - self._last.factor) <= NOTABLE:
            return None
        self._last = throttle
        return throttle


def watch_throttling(reference: Clocks | None = None) -> ThrottleWatch:
    """The watch on this device; the reference is its present state if left out."""
    return ThrottleWatch(ClockReader(SystemFiles()), reference)
