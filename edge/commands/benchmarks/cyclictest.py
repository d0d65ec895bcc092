"""cyclictest (rt-tests): how late the kernel itself wakes a plain C thread, the yardstick."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from edge.errors import RunError
from edge.rates import NS_PER_US

PACKAGE = "rt-tests"
LONGEST_US = 50_000  # of the histogram; later wake-ups count as this late


class Cyclictest:
    """Runs cyclictest with one thread in slices and adds up what it measured."""

    def __init__(self, period_ns: int, priority: int | None, core: int | None, lock: bool) -> None:
        """``priority`` of SCHED_FIFO, None for the ordinary class. Raises RunError if missing."""
        program = shutil.which("cyclictest")
        if program is None:
            raise RunError(
                f"cyclictest is not installed: it is in the package {PACKAGE} "
                f"(apt-get install {PACKAGE})"
            )
        self.counts: Counter[int] = Counter()
        self._command = [program, "--quiet", "--threads=1", f"--histogram={LONGEST_US}"]
        self._command += [f"--interval={period_ns // NS_PER_US}"]
        self._command += [f"--priority={priority}"] if priority else ["--policy=other"]
        self._command += [f"--affinity={core}"] if core is not None else []
        self._command += ["--mlockall"] if lock else []

    def measure(self, ticks: int) -> None:
        """Take so many wake-ups. Raises RunError with cyclictest's own complaint."""
        with tempfile.TemporaryDirectory(prefix="oat-edge-") as folder:
            file = Path(folder) / "cyclictest.json"
            command = [*self._command, f"--loops={ticks}", f"--json={file}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
                raise RunError(f"cyclictest: {lines[-1]}")
            self.add(json.loads(file.read_text(encoding="utf-8")))

    def add(self, report: dict[str, object]) -> None:
        """Add one of cyclictest's own JSON reports: counts by whole µs, and what lies beyond."""
        threads = report["thread"]
        assert isinstance(threads, dict)
        for thread in threads.values():
            counts = {int(us): count for us, count in thread["histogram"].items()}
            beyond = thread["cycles"] - sum(counts.values())
            self.counts.update(counts)
            if beyond > 0:
                self.counts[max(LONGEST_US, thread["max"])] += beyond
