"""The zip archive of ``torch.save``: one pickle, and the bytes of each tensor's storage."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.official.errors import OfficialCheckpointError
from models.official.unpickler import unpickle

PICKLE = "data.pkl"


def read_archive(path: Path) -> Any:
    """The object that was saved at ``path``, of plain containers and tensors only.

    Raises OfficialCheckpointError that names the file: no such archive, or something in it that is
    neither a tensor nor a plain container.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive)
    except OfficialCheckpointError as error:
        raise OfficialCheckpointError(f"{path}: {error}") from error
    except OSError as error:
        raise OfficialCheckpointError(f"{path}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise OfficialCheckpointError(
            f"{path}: not an archive as torch.save writes it ({error})"
        ) from error


def _read(archive: zipfile.ZipFile) -> Any:
    pickles = [name for name in archive.namelist() if name.split("/")[1:] == [PICKLE]]
    if len(pickles) != 1:
        raise OfficialCheckpointError(f"not an archive as torch.save writes it (no {PICKLE})")
    root = pickles[0].split("/")[0]
    read = _reader(archive, root)
    if f"{root}/byteorder" in archive.namelist() and read("byteorder") != b"little":
        raise OfficialCheckpointError("its numbers are not little-endian")
    return unpickle(read(PICKLE), lambda key: read(f"data/{key}"))


def _reader(archive: zipfile.ZipFile, root: str) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        try:
            entry = archive.getinfo(f"{root}/{name}")
        except KeyError as error:
            raise OfficialCheckpointError(f"it lacks {name}") from error
        if entry.compress_type != zipfile.ZIP_STORED:  # torch.save never does, a zip bomb would
            raise OfficialCheckpointError(f"{name} is compressed")
        return archive.read(entry)

    return read
