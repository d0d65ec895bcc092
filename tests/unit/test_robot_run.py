"""A run that hangs in a test says what it had printed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.emulated_line import eventually
from tests.hil import robot_run
from tests.hil.robot_run import finish

HANGS = """
import subprocess, sys, time
from pathlib import Path
print("tick 1", flush=True)
print("the reason", file=sys.stderr, flush=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(float({outlives!r}))"])
Path({said!r}).write_text(str(child.pid))
time.sleep(60)
"""


@pytest.mark.parametrize("outlives", ["0", "2"])
def test_a_run_that_never_ends_is_killed_and_its_last_words_are_the_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outlives: str
) -> None:
    monkeypatch.setattr(robot_run, "LAST_WORDS_S", 1.0)
    said = tmp_path / "said"
    code = HANGS.format(outlives=outlives, said=str(said))
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True)
    assert eventually(lambda: said.exists() and bool(said.read_text()))
    with pytest.raises(AssertionError, match=r"no end within 0.1 s(?s:.)*the reason(?s:.)*tick 1"):
        finish(process, 0.1)
    assert process.returncode
