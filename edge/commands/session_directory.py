"""The directory of a run: made, and those of killed runs removed.

Its owner holds a lock on a file in it for as long as it lives; the kernel lets go of the lock of a
process that is gone, however it went. What another user owns, or nobody ever locked, is left alone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")
PREFIX = "oat-edge-"
_LOCK = "owner.lock"


@contextmanager
def session_directory() -> Iterator[Path]:
    """A new directory for a run's files, in memory where the system has such a place."""
    base = MEMORY if MEMORY.is_dir() else Path(tempfile.gettempdir())
    remove_dead(base)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    descriptor = _lock(directory)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(descriptor)


def remove_dead(base: Path) -> None:
    """Remove this user's session directories in ``base`` whose owner is gone."""
    for directory in base.glob(f"{PREFIX}*"):
        if _is_ours(directory) and _is_dead(directory / _LOCK):
            shutil.rmtree(directory, ignore_errors=True)


def _lock(directory: Path) -> int:
    """The lock file, locked before it has its name: nobody ever sees it free while we live."""
    new = directory / f"{_LOCK}.new"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    new.rename(directory / _LOCK)
    return descriptor


def _is_ours(directory: Path) -> bool:
    try:
        return not directory.is_symlink() and directory.stat().st_uid == os.getuid()
    except OSError:
        return False  # it has gone meanwhile


def _is_dead(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
