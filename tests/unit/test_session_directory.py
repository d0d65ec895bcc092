"""A run's directory goes with its run, or with the start of the next."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.commands import session_directory as module
from edge.commands.session_directory import remove_dead, session_directory

ROOT = Path(__file__).parents[2]
OWNER = """
import sys, time
from pathlib import Path
from edge.commands import session_directory as module
module.MEMORY = Path(sys.argv[1])
with module.session_directory() as directory:
    (directory / "ticks").write_bytes(b"x")
    print(directory, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "MEMORY", tmp_path)
    return tmp_path


def test_it_goes_with_its_run(memory: Path) -> None:
    with session_directory() as directory:
        assert directory.parent == memory and directory.stat().st_mode & 0o777 == 0o700
    assert list(memory.iterdir()) == []


def test_that_of_a_killed_run_is_removed_by_the_next_and_not_before(memory: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(memory)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        dead = Path(owner.stdout.readline().strip())
        with session_directory():
            assert (dead / "ticks").exists()  # its owner lives
        owner.kill()
        owner.wait()
    assert dead.exists()
    with session_directory() as mine:
        assert set(memory.iterdir()) == {mine}


def test_what_nobody_locked_or_is_no_directory_of_ours_stays(memory: Path) -> None:
    (memory / "oat-edge-without-lock").mkdir()
    (memory / "oat-edge-file").write_text("mine")
    elsewhere = memory / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "owner.lock").touch()
    (memory / "oat-edge-link").symlink_to(elsewhere)
    before = set(memory.iterdir())
    remove_dead(memory)
    assert set(memory.iterdir()) == before
    assert (elsewhere / "owner.lock").exists()


def test_a_directory_of_another_user_stays(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = memory / "oat-edge-theirs"
    theirs.mkdir()
    (theirs / "owner.lock").touch()
    monkeypatch.setattr(os, "getuid", lambda: theirs.stat().st_uid + 1)
    remove_dead(memory)
    assert theirs.exists()
    monkeypatch.undo()
    remove_dead(memory)
    assert not theirs.exists()
