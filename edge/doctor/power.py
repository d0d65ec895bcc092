"""Clocks and power: governor, caps that throttle right now, Jetson's power mode."""

from __future__ import annotations

import re

from edge.doctor.finding import Finding, Status, absent, judged
from edge.system_files import SystemFiles
from edge.throttling import ClockReader, Clocks, judge

AREA = "power"
_GOVERNORS = "sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
_MODE = re.compile(r"(\d+)")
_MODES = "etc/nvpmodel.conf"


def examine(files: SystemFiles) -> list[Finding]:
    """All findings of this area."""
    return [governor(files), caps(files), temperature(files), power_mode(files)]


def governor(files: SystemFiles) -> Finding:
    """Other governors lower the clock between two ticks and take their time to raise it."""
    names = {files.text(path) or "unknown" for path in files.paths(_GOVERNORS)}
    if not names:
        return absent(AREA, "governor", "clocks are not ours to govern")
    return judged(
        AREA,
        "governor",
        names == {"performance"},
        ", ".join(sorted(names)),
        "cpupower frequency-set -g performance (on Jetson: jetson_clocks)",
    )


def caps(files: SystemFiles) -> Finding:
    """Clocks that may not reach what the hardware can: throttled, or limited by someone."""
    reached = ClockReader(files).read().caps
    possible = {
        path.split("/")[-2]: value
        for path in files.paths("sys/devices/system/cpu/cpufreq/policy*/cpuinfo_max_freq")
        if (value := files.number(path)) is not None
    }
    if not possible:
        return absent(AREA, "clock caps", "not told")
    reached = {name: cap for name, cap in reached.items() if name in possible}
    throttle = judge(Clocks(reached), Clocks(possible))
    return judged(
        AREA,
        "clock caps",
        throttle.factor <= 1.0,
        throttle.reason or "none",
        "cool the device, choose a higher power mode, or raise scaling_max_freq",
    )


def temperature(files: SystemFiles) -> Finding:
    """Close to a passive trip point the clocks are about to fall."""
    clocks = ClockReader(files).read()
    if not clocks.zones:
        return absent(AREA, "temperature", "no thermal zones")
    hottest = max(clocks.zones, key=lambda zone: zone.temperature_c)
    throttle = judge(Clocks(zones=clocks.zones), Clocks())
    return judged(
        AREA,
        "temperature",
        not throttle.reason,
        throttle.reason or f"{hottest.name} {hottest.temperature_c:.0f} °C",
        "cool the device: fan, heat sink, air",
    )


def power_mode(files: SystemFiles) -> Finding:
    """Jetson's modes (nvpmodel) differ by a factor in speed; profiles hold for one of them."""
    status = files.text("var/lib/nvpmodel/status")
    number = _MODE.search(status or "")
    if number is None:
        return absent(AREA, "power mode", "no nvpmodel: not a Jetson")
    mode = int(number.group(1))
    name = _mode_name(files.text(_MODES) or "", mode)
    return Finding(
        AREA,
        "power mode",
        Status.OK if name.startswith("MAXN") else Status.WARN,
        f"{mode} {name}".strip(),
        "" if name.startswith("MAXN") else "nvpmodel -m 0 (MAXN), then measure the profile anew",
    )


def _mode_name(configuration: str, mode: int) -> str:
    """The name that nvpmodel.conf gives it: ``< POWER_MODEL ID=0 NAME=MAXN >``."""
    found = re.search(rf"POWER_MODEL\s+ID={mode}\s+NAME=(\S+)", configuration)
    return found.group(1) if found else ""
