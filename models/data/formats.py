"""Which reader a path is for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from models.data.errors import DataError
from models.data.hdf5 import read_hdf5
from models.data.lerobot import INFO, read_lerobot
from models.data.npz import read_npz
from models.data.recording import Recording
from models.data.zarr_buffer import read_zarr

FORMATS = (
    "a demonstrations .npz, a LeRobotDataset v3 directory, a robomimic .hdf5 or .h5, "
    "a .zarr directory or .zarr.zip"
)


def read_recording(path: Path) -> Recording:
    """Read recorded data of any known format. Raises DataError, one line."""
    if not path.exists():
        raise DataError(f"{path}: no such file or directory")
    read = _reader(path)
    try:
        return read(path)
    except DataError:
        raise
    except Exception as error:  # what damage does to other people's readers is theirs to choose
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise DataError(f"{path}: not readable ({reason})") from error


def _reader(path: Path) -> Callable[[Path], Recording]:
    if path.is_dir():
        if (path / INFO).exists():
            return read_lerobot
        if any((path / name).exists() for name in (".zgroup", "zarr.json", ".zmetadata")):
            return read_zarr
    elif path.suffix == ".npz":
        return read_npz
    elif path.suffix in (".hdf5", ".h5"):
        return read_hdf5
    elif path.name.endswith(".zarr.zip"):
        return read_zarr
    raise DataError(f"{path}: unknown kind of data; known are {FORMATS}")
