"""Our own demonstrations files: one .npz without pickles (see `models.dataset`)."""

from __future__ import annotations

from pathlib import Path
from zipfile import is_zipfile

import numpy as np

from models.data.errors import DataError
from models.data.recording import ACTION, COMMAND, Recording

_REQUIRED = (ACTION, "mask", "episode_start", COMMAND)


def read_npz(path: Path) -> Recording:
    """Read a demonstrations file. Raises DataError naming what is missing or malformed."""
    if not is_zipfile(path):
        raise DataError(f"{path}: not a readable .npz")
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    for key in _REQUIRED:
        if key not in arrays:
            raise DataError(f"{path}: array {key!r} is missing")
    columns = {
        key: _numbers(path, key, value)
        for key, value in arrays.items()
        if key == ACTION or key.startswith("observation.")
    }
    mask, steps = arrays["mask"], len(columns[ACTION])
    if mask.shape != (steps,):
        raise DataError(f"{path}: 'mask' is {mask.shape}, 'action' has {steps} rows")
    return Recording(
        source=f"{path} (demonstrations)",
        columns=columns,
        episode_start=arrays["episode_start"],
        mask=mask.astype(bool),
    )


def _numbers(path: Path, key: str, value: np.ndarray) -> np.ndarray:
    if value.dtype.kind not in "fiub" or value.ndim != 2:
        raise DataError(
            f"{path}: {key!r} is {value.dtype} {value.shape}, wanted are rows of numbers"
        )
    return value.astype(np.float32)
