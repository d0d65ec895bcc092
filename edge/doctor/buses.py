"""Adapters between this machine and its motors: FTDI's latency timer, CAN's send queue."""

from __future__ import annotations

from edge.doctor.finding import Finding, Status, absent, judged
from edge.system_files import SystemFiles

AREA = "buses"
ARPHRD_CAN = 280  # if_arp.h
GOOD_LATENCY_MS = 1
LEAST_QUEUE = 64  # frames; a tick's burst to a whole arm must find room
_TIMERS = "sys/bus/usb-serial/devices/*/latency_timer"
_NETWORKS = "sys/class/net/*/type"


def examine(files: SystemFiles) -> list[Finding]:
    """All findings of this area, one for every adapter that is there."""
    timers = [_latency(files, path) for path in files.paths(_TIMERS)]
    cans = [path for path in files.paths(_NETWORKS) if files.number(path) == ARPHRD_CAN]
    queues = [_queue(files, path.split("/")[-2]) for path in cans]
    return [
        *(timers or [absent(AREA, "USB latency timer", "no FTDI adapter")]),
        *(queues or [absent(AREA, "CAN send queue", "no CAN interface")]),
    ]


def _latency(files: SystemFiles, path: str) -> Finding:
    """An FTDI adapter holds received bytes back for so long: 16 ms by default."""
    tty = path.split("/")[-2]
    latency_ms = files.number(path)
    if latency_ms is None:
        return absent(AREA, f"USB latency timer of {tty}", "not told")
    good = latency_ms <= GOOD_LATENCY_MS
    return Finding(
        AREA,
        f"USB latency timer of {tty}",
        Status.OK if good else Status.FAIL,
        f"{latency_ms} ms",
        "" if good else f"echo {GOOD_LATENCY_MS} > /{path}",
    )


def _queue(files: SystemFiles, interface: str) -> Finding:
    """A short queue refuses frames (ENOBUFS) although the bus is fine."""
    length = files.number(f"sys/class/net/{interface}/tx_queue_len")
    if length is None:
        return absent(AREA, f"CAN send queue of {interface}", "not told")
    return judged(
        AREA,
        f"CAN send queue of {interface}",
        length >= LEAST_QUEUE,
        f"{length} frames",
        f"ip link set {interface} txqueuelen {2 * LEAST_QUEUE}",
    )
