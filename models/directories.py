"""Replaces a whole directory in one step, so that a reader or a crash never sees half of one."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def write_directory(target: Path, files: Mapping[str, bytes]) -> None:
    """Makes ``target`` hold exactly ``files`` (relative path → content), synced to disk.

    They are written beside it first. A process killed at any moment leaves the old directory or
    the new one under ``target``, and at worst a ``.NAME.*`` directory to delete. A link stays, and
    what it points to is replaced.
    """
    target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        building.chmod(0o755)
        for name, content in files.items():
            _write_synced(building / name, content)
        _swap_in(building, target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    _sync(target.parent)


def require_writable(target: Path) -> None:
    """Raises OSError if ``target`` could not be written; leaves nothing behind."""
    folder = target.resolve().parent
    while not folder.exists():
        folder = folder.parent
    Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=folder)).rmdir()


def _write_synced(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _sync(path.parent)


def _swap_in(building: Path, target: Path) -> None:
    """Puts ``building`` in the place of ``target``; what was there is left in ``building``."""
    if not target.exists():
        building.rename(target)
    elif not _exchange(building, target):
        # A file system without exchange: between these two lines the old one is under its
        # aside name only.
        aside = target.with_name(f".{target.name}.old")
        shutil.rmtree(aside, ignore_errors=True)
        target.rename(aside)
        building.rename(target)
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(a: Path, b: Path) -> bool:
    """Swaps two directories atomically by renameat2(2); False where that is not supported."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    paths = os.fsencode(a), os.fsencode(b)
    return renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
