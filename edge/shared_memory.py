"""Records between processes, in memory-mapped files: the newest one (Mailbox) or all (Ring).

One process writes, any number read, nobody waits. A record is a NumPy structured dtype. Each slot
carries its sequence number and a CRC-32, so a reader never takes a torn record, whatever the memory
model of the processor, and a writer that is killed in the middle leaves the previous record whole.
"""

from __future__ import annotations

import mmap
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Record = npt.NDArray[Any]  # shape (), a structured dtype
Records = npt.NDArray[Any]  # shape (n,), a structured dtype

_READ_ATTEMPTS = 4
_LINE = 64  # bytes that a processor moves at once
_HEAD = 16  # bytes of a slot's sequence number and CRC, each a u64


class _Region:
    """A file of ``count`` slots behind one u64 that holds the newest sequence number.

    Plain views of bytes: NumPy would take several times as long, within every plan and tick.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], count: int, create: bool) -> None:
        slot = -(-(_HEAD + dtype.itemsize) // _LINE) * _LINE
        size = _LINE + slot * count
        flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if create:
                os.ftruncate(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self.dtype = dtype
        self.count = count
        whole = memoryview(self._map)
        heads = range(_LINE, size, slot)
        self._newest = whole[:8].cast("Q")
        self._heads = [whole[start : start + _HEAD].cast("Q") for start in heads]
        records = range(_LINE + _HEAD, size, slot)
        self._bytes = [whole[start : start + dtype.itemsize] for start in records]

    @property
    def newest(self) -> int:
        return self._newest[0]

    def write(self, record: Record) -> None:
        sequence = self._newest[0] + 1
        index = sequence % self.count
        head, raw = self._heads[index], record.tobytes()
        head[0] = 0
        self._bytes[index][:] = raw
        head[1] = zlib.crc32(raw)
        head[0] = sequence
        self._newest[0] = sequence

    def read(self, sequence: int) -> bytes | None:
        index = sequence % self.count
        head = self._heads[index]
        if head[0] != sequence:
            return None
        crc = head[1]
        raw = bytes(self._bytes[index])
        whole = zlib.crc32(raw) == crc and head[0] == sequence
        return raw if whole else None


class Mailbox:
    """The newest record only. Two slots alternate, so a reader is not in the writer's way."""

    def __init__(self, path: Path, dtype: np.dtype[Any], *, create: bool = False) -> None:
        """Raises FileExistsError or FileNotFoundError where ``create`` does not fit the path."""
        self._region = _Region(path, dtype, 2, create)
        self._seen = 0
        self._copy: Record = np.zeros((), dtype)
        self._copy_bytes = self._copy.reshape(1).view(np.uint8).data

    @property
    def dtype(self) -> np.dtype[Any]:
        """Layout of the record."""
        return self._region.dtype

    def post(self, record: Record) -> None:
        """Make ``record`` the newest."""
        self._region.write(record)

    def take(self) -> Record | None:
        """The newest record if it has not been taken yet, else None; valid until the next call."""
        for _ in range(_READ_ATTEMPTS):
            newest = self._region.newest
            if newest == self._seen:
                return None
            raw = self._region.read(newest)
            if raw is not None:
                self._copy_bytes[:] = raw
                self._seen = newest
                return self._copy
        return None

    def latest(self) -> Record | None:
        """The newest record, taken before or not; None before the first."""
        taken = self.take()
        return taken if taken is not None or self._seen == 0 else self._copy


class Ring:
    """Every record, in order, as long as the reader keeps within ``count`` of the writer."""

    def __init__(
        self, path: Path, dtype: np.dtype[Any], count: int, *, create: bool = False
    ) -> None:
        """Raises FileExistsError or FileNotFoundError where ``create`` does not fit the path."""
        self._region = _Region(path, dtype, count, create)
        self._next = 1
        self.dropped = 0

    def append(self, record: Record) -> None:
        """Add ``record``; overwrites the oldest when the ring is full."""
        self._region.write(record)

    def drain(self) -> Records:
        """Every record since the last call, copied; those overwritten meanwhile are counted."""
        newest = self._region.newest
        oldest = max(self._next, newest - self._region.count + 2)
        self.dropped += oldest - self._next
        found = []
        for sequence in range(oldest, newest + 1):
            raw = self._region.read(sequence)
            if raw is None:
                self.dropped += 1
            else:
                found.append(raw)
        self._next = newest + 1
        return np.frombuffer(b"".join(found), self._region.dtype)
