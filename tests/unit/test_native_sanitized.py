"""The native engine's C code under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge.engines.native import library
from edge.engines.native.library import BUILDS
from tests.needs import missing

SOURCE = Path(library.__file__).with_name("execute.c")
ROOT = Path(__file__).parents[2]
_V4 = ["-mavx512f", "-mavx512bw", "-mavx512cd", "-mavx512dq", "-mavx512vl", "-mf16c", "-mfma"]
OPTIONS = {
    "v4-vnni": [*_V4, "-mavx512vnni"],
    "v4": _V4,
    "v3": ["-mavx2", "-mbmi2", "-mf16c", "-mfma"],
    "": [],
}
RUN = """
import sys, pytest
from edge.engines.native import library
library.__file__ = sys.argv[1]  # the builds beside it are taken
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "tests/unit/test_native_nodes.py"]))
"""


def test_every_operation_keeps_to_its_memory_and_to_what_c_defines(tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        missing("gcc")
    machine = os.uname().machine
    builds = [build for build in BUILDS if build.machine == machine]
    if not builds:
        pytest.skip(f"the native engine has no build for {machine}")
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    for build in builds:
        target = tmp_path / build.file_name
        options = ["-std=gnu11", "-O1", "-g", "-fPIC", "-shared", *sanitizers]
        files = ["-o", str(target), str(SOURCE), "-lm"]
        subprocess.run([compiler, *options, *OPTIONS[build.level], *files], check=True)
    runtimes = [_runtime(compiler, name) for name in ("libasan.so", "libubsan.so")]
    environment = os.environ | {
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "LD_PRELOAD": " ".join(runtimes),
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path / "library.py")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def _runtime(compiler: str, name: str) -> str:
    found = subprocess.run(
        [compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True
    )
    return found.stdout.strip()
