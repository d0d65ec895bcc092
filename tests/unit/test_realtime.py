"""What a process asks of the kernel: it gets it, or goes on and says what it did not get."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ASK = """
import gc, json, os, resource, sys
from edge.realtime import configure
from edge.robot import RealTime
settings = RealTime.model_validate_json(sys.argv[1])
if sys.argv[2] == "without rights":
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
    if os.geteuid() == 0:
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
warnings = configure(settings)
print(json.dumps({
    "warnings": warnings,
    "collects": gc.isenabled(),
    "frozen": gc.get_freeze_count(),
    "cores": sorted(os.sched_getaffinity(0)),
    "policy": os.sched_getscheduler(0) == os.SCHED_FIFO,
}))
"""
NOBODYS_CORE = 100_000


def ask(rights: str, **settings: Any) -> dict[str, Any]:
    """What ``configure`` warned of in a process of its own, and what that process came to have."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(settings), rights],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_each_thing_that_the_kernel_refuses_is_one_plain_warning_and_the_process_goes_on() -> None:
    found = ask("without rights", priority=80, core=NOBODYS_CORE)
    asked = [warning.partition(":")[0] for warning in found["warnings"]]
    assert asked == ["no cpu affinity", "no SCHED_FIFO priority 80", "no locked memory"]
    assert all(warning.endswith("; timing will be worse") for warning in found["warnings"])
    assert not found["policy"]


def test_what_needs_no_rights_is_had_and_nobody_is_warned() -> None:
    core = min(ask("as we are", lock_memory=False)["cores"])
    found = ask("without rights", core=core, lock_memory=False)
    assert found["warnings"] == [] and found["cores"] == [core]


def test_the_garbage_collector_is_off_and_what_there_was_is_frozen() -> None:
    found = ask("without rights", lock_memory=False)
    assert not found["collects"] and found["frozen"] > 10_000
