"""Arrays that commands take and give: ``.npz`` files, without pickles, written whole or not."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import RunError

Array = npt.NDArray[Any]


class ArrayFile:
    """The arrays of one file, asked for by key; every complaint names file, key and shape."""

    def __init__(self, path: Path) -> None:
        """Raises RunError if the file is not readable as ``.npz``."""
        self.path = path
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                self._arrays = {key: file[key] for key in file.files}
        except OSError as error:
            raise RunError(f"{path}: {error.strerror or error}") from error
        except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise RunError(f"{path}: not an .npz file of plain arrays") from error

    def floats(self, key: str, shape: Sequence[int]) -> npt.NDArray[np.float32]:
        """Finite numbers of shape (N, *shape)."""
        array = self._array(key, shape, "iuf", "numbers")
        if not np.isfinite(array).all():
            raise RunError(f"{self.path}: {key} holds a value that is not finite")
        return array.astype(np.float32)

    def integers(self, key: str, shape: Sequence[int]) -> npt.NDArray[np.int64]:
        """Integers of shape (N, *shape); a length of -1 may be any."""
        integers: npt.NDArray[np.int64] = self._array(key, shape, "iu", "integers").astype(np.int64)
        return integers

    def _array(self, key: str, shape: Sequence[int], kinds: str, what: str) -> Array:
        if key not in self._arrays:
            have = ", ".join(self._arrays) or "nothing"
            raise RunError(f"{self.path}: no array {key!r}; it has {have}")
        array: Array = self._arrays[key]
        lengths = zip(array.shape[1:], shape, strict=False)
        fits = array.ndim == 1 + len(shape) and all(h == w or w < 0 for h, w in lengths)
        if not fits:
            wanted = ", ".join("any" if length < 0 else str(length) for length in shape)
            raise RunError(f"{self.path}: {key} is {array.shape}, expected is (N, {wanted})")
        if array.dtype.kind not in kinds:
            raise RunError(f"{self.path}: {key} is {array.dtype}, expected are {what}")
        return array


def one_length(path: Path, arrays: Mapping[str, Array]) -> int:
    """Their common first length N. Raises RunError naming two that differ."""
    (first, array), *others = arrays.items()
    for key, other in others:
        if len(other) != len(array):
            raise RunError(f"{path}: {key} has {len(other)} rows, {first} has {len(array)}")
    return len(array)


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Put an ``.npz`` file in place at once; a reader sees the old one, if any, or all of the new.

    Raises RunError naming the file if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
