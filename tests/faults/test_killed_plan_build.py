"""A builder of plans that is killed at any moment leaves the old plan, or the new one, whole."""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge.engines.trt.backend import Backend, load_backend
from edge.engines.trt.builder import BuildOptions, Plan, build_plan
from edge.engines.trt.cache import PlanCache
from edge.engines.trt.plan_file import PlanKey, PlanRejectedError, decode
from tests.needs import require
from tests.unit.onnx_graphs import WEIGHTS, product

WRITES_KILLED, BUILDS_KILLED = 200, 10
PLAN_BYTES = 1 << 20
SEED = 20260102
KEYS = [PlanKey("tensorrt", version, ("sm87",), "", "fp32", "step", "0" * 64) for version in "12"]

# The mother imports once and forks a builder for every line that she reads.
MOTHER = """
import os
import sys
from pathlib import Path
from tests.faults import test_killed_plan_build as test
work = getattr(test, sys.argv[1])
work is test.build_for_ever and test.compiler()
print("up", flush=True)
for _ in iter(sys.stdin.readline, ""):
    if not (child := os.fork()):
        work(Path(sys.argv[2]))
    print(child, flush=True)
    os.waitpid(child, 0)
    print("dead", flush=True)
"""


def write_for_ever(directory: Path) -> None:
    """Replace one plan by another, through the cache's own path, as fast as it goes."""
    cache = PlanCache(directory)
    while True:
        for key in KEYS:
            plan = Plan(key.version.encode() * PLAN_BYTES, 1, 0.0)
            cache.fetch(key, lambda made=plan: made)


def build_for_ever(directory: Path) -> None:
    """Compile one graph for one key after another, with the real compiler."""
    backend, onnx = compiler()
    cache, options = PlanCache(directory), BuildOptions(("sm86",))
    while True:
        for key in KEYS:
            cache.fetch(key, lambda: build_plan(backend, onnx, "p", options))


@functools.cache
def compiler() -> tuple[Backend, bytes]:
    """The real compiler and a small graph."""
    return load_backend("tensorrt-rtx"), product(*WEIGHTS["fp32"])


@contextmanager
def mother(work: Callable[[Path], None], directory: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", MOTHER, work.__name__, str(directory)]
    pipe = subprocess.PIPE
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, cwd=root, stdin=pipe, stdout=pipe, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()


def kill_one(process: subprocess.Popen[str], until: Callable[[], bool], delay_s: float) -> None:
    """Start a builder, let it come as far as ``until`` and a little further, and kill it."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    builder = int(process.stdout.readline())
    end = time.monotonic() + 30
    while not until() and time.monotonic() < end:
        time.sleep(0.0001)
    time.sleep(delay_s)
    os.kill(builder, signal.SIGKILL)
    assert process.stdout.readline() == "dead\n"


def whole(file: Path) -> Plan:
    """The plan in the file, which has to be for one of the keys."""
    content = file.read_bytes()
    for key in KEYS:
        try:
            return decode(content, key)
        except PlanRejectedError as rejection:
            assert str(rejection).startswith("built for version")
    raise AssertionError("for neither key")


def replaced(file: Path) -> Callable[[], bool]:
    """Tells when the file is another one than now."""
    before = file.stat().st_mtime_ns if file.exists() else None
    return lambda: file.exists() and file.stat().st_mtime_ns != before


def test_a_write_that_is_killed_leaves_a_whole_plan(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    file = PlanCache(tmp_path).file(KEYS[0])
    part = Path(f"{file}.part")
    unfinished = 0
    with mother(write_for_ever, tmp_path) as process:
        for kill in range(WRITES_KILLED):
            moment = replaced(file) if kill % 2 == 0 else part.exists
            kill_one(process, moment, chance.choice((0, chance.uniform(0, 0.01))))
            plan = whole(file)
            assert len(plan.content) == PLAN_BYTES, f"seed {SEED}, kill {kill}"
            assert len(set(plan.content)) == 1, f"seed {SEED}, kill {kill}"
            unfinished += part.exists()
            part.unlink(missing_ok=True)
    assert unfinished > 0, "no kill met a write: the test proves nothing"
    part.write_bytes(b"left by one that was killed")
    fresh = PlanCache(tmp_path).fetch(replace(KEYS[0], version="3"), lambda: Plan(b"new", 1, 0.0))
    assert decode(file.read_bytes(), replace(KEYS[0], version="3")) == fresh.plan
    assert not part.exists()


def test_a_real_build_that_is_killed_leaves_a_whole_plan(tmp_path: Path) -> None:
    require("tensorrt_rtx")
    chance = random.Random(SEED)
    file = PlanCache(tmp_path).file(KEYS[0])
    with mother(build_for_ever, tmp_path) as process:
        for _ in range(BUILDS_KILLED):
            kill_one(process, replaced(file), chance.uniform(0, 0.08))
            assert whole(file).nodes >= 1


def test_a_broken_plan_would_be_noticed(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    file = cache.fetch(KEYS[1], lambda: Plan(b"2" * 100, 1, 0.0)).file
    assert whole(file).content == b"2" * 100
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(AssertionError):
        whole(file)
