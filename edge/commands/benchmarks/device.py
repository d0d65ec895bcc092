"""What a measurement was taken on, and which core it was kept to."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edge.errors import UsageError

PACKAGES = ("oat-edge", "numpy", "onnxruntime", "openvino", "tensorrt", "torch")
_CPU_INFO = Path("/proc/cpuinfo")
_BOARD = Path("/proc/device-tree/model")  # names a Jetson or another board
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def pin(core: int) -> None:
    """Keep this process, and every thread that it starts from now on, to one core."""
    allowed = sorted(os.sched_getaffinity(0))
    if core not in allowed:
        have = ", ".join(str(number) for number in allowed)
        raise UsageError(f"--pin is {core}, allowed are {have}")
    os.sched_setaffinity(0, {core})


def device_facts() -> dict[str, Any]:
    """Processor, cores, load and versions, as plain JSON values; null where there is none."""
    return {
        "cpu": cpu_model(_read(_CPU_INFO)) or platform.machine(),
        "board": (_read(_BOARD) or "").strip("\0 \n") or None,
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "used_cores": sorted(os.sched_getaffinity(0)),
        "governor": (_read(_GOVERNOR) or "").strip() or None,
        "load_1min": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in PACKAGES},
    }


def cpu_model(cpu_info: str | None) -> str | None:
    """The processor's name in the text of /proc/cpuinfo; None if it does not say (most ARM)."""
    for line in (cpu_info or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip() or None
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
