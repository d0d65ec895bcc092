"""LeRobotDataset v3 directories: ``meta/info.json``, parquet files under ``data/``.

Layout after LeRobot's documentation ("LeRobotDataset v3.0"): a file holds many episodes, a row is
a frame, with ``index``, ``episode_index``, ``frame_index`` and ``timestamp``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.data.errors import DataError, needs_extra
from models.data.recording import ACTION, Recording

INFO = Path("meta") / "info.json"
_COUNTERS = ("index", "episode_index", "frame_index")
_PICTURES = ("video", "image")
_NUMBERS = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")


def read_lerobot(path: Path) -> Recording:
    """Read a directory. Raises DataError with the file and what is wrong with it."""
    info = _read_info(path)
    wanted, notices = _wanted(path, info["features"])
    table = _read_table(path, [*wanted, *_COUNTERS, "timestamp"])
    rows = {key: np.asarray(table[key]) for key in (*_COUNTERS, "timestamp")}
    order = np.argsort(rows["index"], kind="stable")
    rows = {key: value[order] for key, value in rows.items()}
    starts = _episode_starts(path, rows, info)
    columns = {key: _column(path, table, key, info)[order] for key in wanted}
    return Recording(
        source=f"{path} (LeRobotDataset {info['codebase_version']})",
        columns=columns,
        episode_start=starts,
        rate_hz=float(info["fps"]),
        time_s=rows["timestamp"].astype(np.float64),
        names={key: _names(info["features"][key]) for key in wanted},
        notices=notices,
    )


def _read_info(path: Path) -> dict[str, Any]:
    file = path / INFO
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: not a dataset's description ({error})") from error
    for key in ("codebase_version", "fps", "features", "total_frames", "total_episodes"):
        if not isinstance(info, dict) or key not in info:
            raise DataError(f"{file}: {key!r} is missing")
    version = info["codebase_version"]
    if not str(version).startswith("v3."):
        raise DataError(f"{file}: codebase_version is {version!r}, allowed is v3.x")
    features = info["features"]
    if not isinstance(features, dict) or not all(isinstance(f, dict) for f in features.values()):
        raise DataError(f"{file}: features is not a mapping of mappings")
    if not isinstance(info["fps"], int | float) or not 0 < info["fps"] < float("inf"):
        raise DataError(f"{file}: fps is {info['fps']!r}, allowed is a number above 0")
    return info


def _wanted(path: Path, features: Mapping[str, Any]) -> tuple[list[str], tuple[str, ...]]:
    """Columns to read, and notices of those that are not."""
    wanted, notices = [], []
    for key, feature in features.items():
        if key != ACTION and not key.startswith("observation."):
            continue
        kind, shape = feature.get("dtype"), feature.get("shape")
        if kind in _PICTURES:
            notices.append(f"{key}: {kind} skipped, policies here take no pictures")
        elif kind not in _NUMBERS or not _is_vector(shape):
            notices.append(f"{key}: {kind} of shape {shape} skipped, taken are vectors of numbers")
        else:
            wanted.append(key)
    if ACTION not in wanted:
        raise DataError(f"{path / INFO}: features has no {ACTION!r} that is a vector of numbers")
    return wanted, tuple(notices)


def _is_vector(shape: object) -> bool:
    return (
        isinstance(shape, list) and len(shape) == 1 and isinstance(shape[0], int) and shape[0] > 0
    )


def _read_table(path: Path, keys: list[str]) -> Any:
    """All rows of the named columns as a pyarrow table."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise needs_extra(path, "a LeRobotDataset", error) from error
    files = sorted((path / "data").glob("chunk-*/file-*.parquet"))
    if not files:
        raise DataError(f"{path / 'data'}: no chunk-*/file-*.parquet")
    tables = []
    for file in files:
        try:
            missing = [key for key in keys if key not in parquet.read_schema(file).names]
            if missing:
                raise DataError(f"{file}: column {missing[0]!r} is missing")
            tables.append(parquet.read_table(file, columns=keys))
        except (OSError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{file}: not readable as parquet ({reason})") from error
    try:
        return pa.concat_tables(tables)
    except pa.ArrowException as error:
        raise DataError(f"{path / 'data'}: files differ in their columns") from error


def _column(path: Path, table: Any, key: str, info: Mapping[str, Any]) -> np.ndarray:
    """One feature, (S, dim) float32."""
    (dim,) = info["features"][key]["shape"]
    column = table[key].combine_chunks()
    if column.null_count:
        raise DataError(f"{path}: {key!r} has {column.null_count} rows without a value")
    listed = "list" in str(column.type)
    try:
        numbers = np.asarray(column.flatten() if listed else column, np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {key!r} is {column.type}, wanted are numbers") from error
    if len(numbers) != dim * len(column):
        raise DataError(f"{path}: {key!r} is not {dim} numbers in every row")
    return numbers.reshape(-1, dim)


def _episode_starts(
    path: Path, rows: Mapping[str, np.ndarray], info: Mapping[str, Any]
) -> np.ndarray:
    """First row of each episode; checks the counters against each other and the description."""
    index, episode, frame = (rows[key] for key in _COUNTERS)
    if len(index) != info["total_frames"]:
        raise DataError(f"{path}: data has {len(index)} frames, {INFO} says {info['total_frames']}")
    if len(index) == 0 or not np.array_equal(index, np.arange(len(index))):
        raise DataError(f"{path}: 'index' does not count the frames from 0")
    starts = np.flatnonzero(np.diff(episode, prepend=episode[0] - 1))
    if len(starts) != info["total_episodes"] or len(np.unique(episode)) != len(starts):
        raise DataError(
            f"{path}: data has {len(starts)} runs of frames of one episode, "
            f"{INFO} says {info['total_episodes']} episodes"
        )
    lengths = np.diff(np.append(starts, len(index)))
    wrong = np.flatnonzero(frame != index - np.repeat(starts, lengths))
    if len(wrong):
        raise DataError(f"{path}: 'frame_index' is {frame[wrong[0]]} at index {wrong[0]}")
    return starts.astype(np.int64)


def _names(feature: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of a feature's elements: a list, or a mapping that holds one; () if neither fits."""
    names = feature.get("names")
    if isinstance(names, dict) and len(names) == 1:
        (names,) = names.values()
    if not isinstance(names, list) or len(names) != feature["shape"][0]:
        return ()
    return tuple(str(name) for name in names)
