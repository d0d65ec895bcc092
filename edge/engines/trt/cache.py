"""Plans on disk: built once, by one process, and never half-written.

One builder at a time holds the directory's lock (two would also disturb each other's timings);
who waited for it finds the plan. A plan is written to a temporary file, synced, and renamed: a
reader, or a kill at any moment, meets the old file or the new one. What is not exactly the plan
asked for is built anew, never loaded on trust, and takes the place of the old one.

The digest in a plan file tells accidents, not attackers: a plan is machine code. So directories are
made for their owner alone, and a file that belongs to someone else is not read.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge.engines.trt.builder import Plan
from edge.engines.trt.plan_file import PlanKey, PlanRejectedError, decode, encode
from edge.errors import EngineError

LOCK = "lock"


@dataclass(frozen=True, slots=True)
class CachedPlan:
    """A plan and its file. ``rebuilt_because`` is empty for a hit, else why there was none."""

    plan: Plan
    file: Path
    rebuilt_because: str

    @property
    def hit(self) -> bool:
        """Whether the plan was in the cache."""
        return not self.rebuilt_because


def default_directory(bundle_digest: str) -> Path:
    """Where a bundle's plans go: the user's cache, by XDG Base Directory Specification 0.8."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(home) if home.startswith("/") else Path.home() / ".cache"
    return base / "oat-edge" / "plans" / bundle_digest


class PlanCache:
    """Plans in one directory, which is made when the first is written."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def file(self, key: PlanKey) -> Path:
        """Where the plan for ``key`` is, or one that it replaces: of another version or driver."""
        compute = "+".join(key.compute)
        return self.directory / f"{key.precision}-{key.graph}-{key.flavour}-{compute}.plan"

    def fetch(self, key: PlanKey, build: Callable[[], Plan]) -> CachedPlan:
        """The plan for ``key``, from its file or from ``build``, which then runs under the lock.

        Raises EngineError naming a path that cannot be used, and whatever ``build`` raises.
        """
        file = self.file(key)
        try:
            with _locked(self.directory):
                return self._fetch(file, key, build)
        except OSError as error:
            where = error.filename or file
            raise EngineError(f"plan cache: {where}: {error.strerror}; choose --cache") from error

    def find(self, key: PlanKey, but: Container[str]) -> CachedPlan:
        """The plan for ``key`` in all ``but`` these fields; nothing is built and nothing written.

        Raises EngineError that says why there is none. No lock: a plan appears as a whole.
        """
        file = self.file(key)
        try:
            return CachedPlan(decode(_read(file), key, but), file, "")
        except PlanRejectedError as rejection:
            raise EngineError(f"plan cache: {file}: {rejection}") from rejection
        except OSError as error:
            raise EngineError(f"plan cache: {file}: {error.strerror}") from error

    def _fetch(self, file: Path, key: PlanKey, build: Callable[[], Plan]) -> CachedPlan:
        try:
            return CachedPlan(decode(_read(file), key), file, "")
        except PlanRejectedError as rejection:
            _require_writable(file)
            plan = build()
            _write(file, encode(key, plan))
            return CachedPlan(plan, file, str(rejection))


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, a file that stays: were it removed, two could hold one name."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(file: Path) -> bytes:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise PlanRejectedError("not built yet") from error
    with os.fdopen(descriptor, "rb") as opened:
        if os.fstat(descriptor).st_uid not in (0, os.geteuid()):
            raise PlanRejectedError("the file belongs to another user")
        return opened.read()


def _part(file: Path) -> Path:
    """Its temporary name. Only the lock's holder writes, so one will do."""
    return file.with_name(f"{file.name}.part")


def _open_part(file: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(_part(file), flags, 0o600), "wb")


def _require_writable(file: Path) -> None:
    """Raises OSError where a plan would be built and could not be written."""
    _open_part(file).close()
    _part(file).unlink()


def _write(file: Path, content: bytes) -> None:
    """Replace the file as a whole."""
    with _open_part(file) as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    _part(file).replace(file)
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
