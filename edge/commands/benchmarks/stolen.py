"""Time that a hypervisor kept from this machine's cores: lateness no program here can help."""

from __future__ import annotations

import os
from pathlib import Path

STATISTICS = Path("/proc/stat")
_FIELD = 8  # "steal" of the line of all cores, in clock ticks since boot: proc_stat(5)


def stolen_ms(statistics: Path = STATISTICS) -> float:
    """So far, of all cores together, to a clock tick (10 ms); 0 where the kernel does not say."""
    if not statistics.exists():
        return 0.0
    fields = statistics.read_text().split(maxsplit=_FIELD + 1)
    if len(fields) <= _FIELD or fields[0] != "cpu":
        return 0.0
    return 1000.0 * int(fields[_FIELD]) / os.sysconf("SC_CLK_TCK")
