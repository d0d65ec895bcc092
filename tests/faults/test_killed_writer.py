"""A writer that is killed at any moment leaves the previous record, or the next one, whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from edge.shared_memory import Mailbox, Ring

DTYPE = np.dtype([("number", "<i8"), ("values", "<f8", (4000,))])  # long: most kills hit a write
KILLS = 25
SEED = 20260101
WRITER = """
import os
import sys
from pathlib import Path
import numpy as np
from edge.shared_memory import Mailbox, Ring
from tests.faults.test_killed_writer import DTYPE
box = Mailbox(Path(sys.argv[1]), DTYPE)
ring = Ring(Path(sys.argv[2]), DTYPE, 16)
print("up", flush=True)
for _ in iter(sys.stdin.readline, ""):
    if not (child := os.fork()):
        made = np.zeros((), DTYPE)
        latest = box.latest()
        number = 0 if latest is None else int(latest["number"])
        while True:
            number += 1
            made["number"] = number
            made["values"] = number
            box.post(made)
            ring.append(made)
    print(child, flush=True)
    os.waitpid(child, 0)
"""


def test_a_writer_killed_at_any_moment_leaves_whole_records(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    box = Mailbox(tmp_path / "box", DTYPE, create=True)
    ring = Ring(tmp_path / "ring", DTYPE, 16, create=True)
    command = [sys.executable, "-c", WRITER, str(tmp_path / "box"), str(tmp_path / "ring")]
    newest = last = 0
    with subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as mother:
        assert mother.stdin is not None
        assert mother.stdout is not None
        assert mother.stdout.readline() == "up\n"
        for kill in range(KILLS):
            mother.stdin.write("go\n")
            writer = int(mother.stdout.readline())
            awaited = newest + 1
            end = time.monotonic() + 10
            while newest < awaited and time.monotonic() < end:
                newest = check(box, newest)
            time.sleep(chance.uniform(0, 0.01))
            os.kill(writer, signal.SIGKILL)
            newest = check(box, newest)
            assert newest >= awaited, f"seed {SEED}, kill {kill}: nothing came"
            for one in ring.drain():
                assert (one["values"] == one["number"]).all(), f"seed {SEED}, kill {kill}"
                assert int(one["number"]) >= last
                last = int(one["number"])
        mother.stdin.close()
    assert newest > KILLS
    late = Mailbox(tmp_path / "box", DTYPE)  # a reader that comes when the writer is long dead
    record = late.take()
    assert record is not None, "the kill left no record at all"
    assert (record["values"] == record["number"]).all()


def check(box: Mailbox, newest: int) -> int:
    """The newest number in the box, having seen that its record is whole."""
    record = box.take()
    if record is None:
        return newest
    assert (record["values"] == record["number"]).all()
    assert int(record["number"]) >= newest
    return int(record["number"])
