"""What this user may ask of the kernel: real-time priority, locked memory, wake-up latency."""

from __future__ import annotations

import re

from edge.doctor.finding import Finding, Status, absent, judged
from edge.system_files import SystemFiles

AREA = "limits"
WANTED_PRIORITY = 80
WANTED_LOCK_BYTES = 512 << 20
_LIMITS = "proc/self/limits"
_FILE = "/etc/security/limits.d/oat-edge.conf"
_CAPABILITIES = re.compile(r"^CapEff:\s*([0-9a-f]+)$", re.MULTILINE)
_CAP_IPC_LOCK, _CAP_SYS_NICE = 14, 23  # capability.h


def examine(files: SystemFiles) -> list[Finding]:
    """All findings of this area."""
    return [priority(files), locked_memory(files), wake_latency(files)]


def priority(files: SystemFiles) -> Finding:
    """Without SCHED_FIFO anything on the machine may delay the servo: a failure."""
    limit = _limit(files, "Max realtime priority")
    if limit is None and not _capable(files, _CAP_SYS_NICE):
        return absent(AREA, "real-time priority", "no limits to read")
    free = _capable(files, _CAP_SYS_NICE) or limit == float("inf")
    good = free or (limit or 0) >= WANTED_PRIORITY
    return Finding(
        AREA,
        "real-time priority",
        Status.OK if good else Status.FAIL,
        "unlimited" if free else f"at most {limit:g}",
        "" if good else f"echo '@realtime - rtprio 98' >> {_FILE}; join that group, log in anew",
    )


def locked_memory(files: SystemFiles) -> Finding:
    """Without it a page that was swapped out costs milliseconds in the middle of a tick."""
    limit = _limit(files, "Max locked memory")
    if limit is None and not _capable(files, _CAP_IPC_LOCK):
        return absent(AREA, "locked memory", "no limits to read")
    free = _capable(files, _CAP_IPC_LOCK) or limit == float("inf")
    return judged(
        AREA,
        "locked memory",
        free or (limit or 0) >= WANTED_LOCK_BYTES,
        "unlimited" if free else f"at most {(limit or 0) / (1 << 20):g} MiB",
        f"echo '@realtime - memlock unlimited' >> {_FILE}; join that group, log in anew",
    )


def wake_latency(files: SystemFiles) -> Finding:
    """The servo keeps cores out of deep idle states through this device, if it may."""
    device = files.root / "dev/cpu_dma_latency"
    if not device.exists():
        return absent(AREA, "idle latency", "no /dev/cpu_dma_latency: no idle states to bound")
    try:
        device.open("r+b", buffering=0).close()
    except OSError as error:
        value = f"/dev/cpu_dma_latency: {error.strerror}"
    else:
        return Finding(AREA, "idle latency", Status.OK, "may be bounded")
    fix = (
        'echo \'KERNEL=="cpu_dma_latency", GROUP="realtime", MODE="0660"\' '
        "> /etc/udev/rules.d/80-oat-edge.rules; udevadm trigger"
    )
    return Finding(AREA, "idle latency", Status.WARN, value, fix)


def _limit(files: SystemFiles, name: str) -> float | None:
    """The soft limit of that name from this process's limits; infinite where unlimited."""
    for line in (files.text(_LIMITS) or "").splitlines():
        if line.startswith(name):
            soft = line[len(name) :].split()[0]
            return float("inf") if soft == "unlimited" else float(soft)
    return None


def _capable(files: SystemFiles, capability: int) -> bool:
    found = _CAPABILITIES.search(files.text("proc/self/status") or "")
    return found is not None and bool(int(found.group(1), 16) >> capability & 1)
