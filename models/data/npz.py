"""Our own demonstrations files: one .npz without pickles (see `models.dataset`)."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from models.data.errors import DataError
from models.data.recording import ACTION, COMMAND, Recording

_REQUIRED = (ACTION, "mask", "episode_start", COMMAND)


def read_npz(path: Path) -> Recording:
    """Read a demonstrations file. Raises DataError naming what is missing or malformed."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{path}: not a readable .npz of demonstrations ({error})") from error
    for key in _REQUIRED:
        if key not in arrays:
            raise DataError(f"{path}: array {key!r} is missing")
    columns = {
        key: value.astype(np.float32)
        for key, value in arrays.items()
        if key == ACTION or key.startswith("observation.")
    }
    mask = arrays["mask"]
    if mask.shape != (len(arrays[ACTION]),):
        raise DataError(f"{path}: 'mask' is {mask.shape}, 'action' has {len(arrays[ACTION])} rows")
    return Recording(
        source=f"{path} (demonstrations)",
        columns=columns,
        episode_start=arrays["episode_start"].astype(np.int64),
        mask=mask.astype(bool),
    )
