"""Zarr replay buffers: ``data/<key>`` with all episodes end to end and ``meta/episode_ends``.

Arrays that would be unpickled are refused: only codecs that are plain compression are read.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from models.data.errors import DataError, needs_extra
from models.data.recording import ACTION, Recording

_FILTERS = {"bitround", "delta", "fixedscaleoffset", "shuffle", "transpose"}
_CHECKS = {"bytes", "crc32", "crc32c", "sharding_indexed"}
_COMPRESSORS = {"blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"}
CODECS = frozenset(_FILTERS | _CHECKS | _COMPRESSORS)
"""By their names in Zarr's metadata (numcodecs' ids, and the v3 specification's)."""


def read_zarr(path: Path) -> Recording:
    """Read a directory or a .zip of one. Raises DataError with the array and what is wrong."""
    try:
        import zarr
    except ImportError as error:
        raise needs_extra(path, "a Zarr replay buffer", error) from error
    if path.suffix != ".zip":
        return _read(path, zarr.open_group(str(path), mode="r"))
    with closing(zarr.storage.ZipStore(str(path), mode="r")) as store:
        return _read(path, zarr.open_group(store, mode="r"))


def _read(path: Path, root: Any) -> Recording:
    ends = _member(path, root, "meta/episode_ends")
    if ends.ndim != 1 or ends.dtype.kind not in "iu":
        raise DataError(f"{path}: meta/episode_ends is {ends.dtype} {ends.shape}, wanted are ends")
    _member(path, root, "data/action")
    columns, notices = {}, []
    for key, array in sorted(root["data"].arrays()):
        if array.dtype.kind not in "fiub" or array.ndim not in (1, 2):
            kind = f"{array.dtype} of shape {array.shape}"
            notices.append(f"data/{key}: {kind} skipped, taken are vectors of numbers")
            continue
        name = ACTION if key == ACTION else f"observation.{key}"
        columns[name] = _numbers(path, array, f"data/{key}")
    ends = _checked(path, ends, "meta/episode_ends").astype(np.int64)
    return Recording(
        source=f"{path} (Zarr replay buffer)",
        columns=columns,
        episode_start=_starts(path, ends, len(columns.get(ACTION, ()))),
        notices=tuple(notices),
    )


def _member(path: Path, root: Any, key: str) -> Any:
    if key not in root or not hasattr(root[key], "dtype"):
        raise DataError(f"{path}: array {key} is missing")
    return root[key]


def _numbers(path: Path, array: Any, where: str) -> np.ndarray:
    return _checked(path, array, where).astype(np.float32).reshape(array.shape[0], -1)


def _checked(path: Path, array: Any, where: str) -> np.ndarray:
    """An array's values, once its codecs are known to be harmless."""
    for codec in _codecs(array):
        if codec not in CODECS:
            have = ", ".join(sorted(CODECS))
            raise DataError(f"{path}: {where} is coded by {codec!r}, allowed are {have}")
    return np.asarray(array[...])


def _codecs(array: Any) -> list[str]:
    """Names of what an array passes through, in either version of format and library."""
    compressors = getattr(array, "compressors", None)
    if compressors is None:
        compressors = (array.compressor,)
    serializer = getattr(array, "serializer", None)
    items = [*(array.filters or ()), serializer, *compressors]
    return [_codec_name(item) for item in items if item is not None]


def _codec_name(codec: Any) -> str:
    if hasattr(codec, "codec_id"):
        return str(codec.codec_id)
    return str(codec.to_dict()["name"])


def _starts(path: Path, ends: np.ndarray, steps: int) -> np.ndarray:
    if len(ends) == 0 or ends[0] <= 0 or (np.diff(ends) <= 0).any() or ends[-1] != steps:
        raise DataError(
            f"{path}: meta/episode_ends must rise from above 0 to the {steps} rows of data/action"
        )
    return np.concatenate([[0], ends[:-1]])
