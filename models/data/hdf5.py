"""robomimic-style HDF5: ``data/<demo>/actions`` and ``data/<demo>/obs/<key>``.

Layout after robomimic's documentation ("Dataset Structure"): one group a demonstration, named
``demo_0``, ``demo_1``, …; ``data``'s attribute ``env_args`` is a JSON text that may hold
``env_kwargs.control_freq``. Older files keep observations with no ``obs`` group: refused by name.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from models.data.errors import DataError, needs_extra
from models.data.recording import ACTION, Recording


def read_hdf5(path: Path) -> Recording:
    """Read a file. Raises DataError with the group and what is wrong with it."""
    try:
        import h5py
    except ImportError as error:
        raise needs_extra(path, "an HDF5 file", error) from error
    with h5py.File(path, "r") as file:
        return _read(path, file, h5py)


def _read(path: Path, file: Any, h5py: Any) -> Recording:
    data = file.get("data")
    if not isinstance(data, h5py.Group) or not len(data):
        raise DataError(f"{path}: no group 'data' with demonstrations")
    demos = sorted(data, key=_number)
    keys, notices = _observations(path, data[demos[0]], demos[0], h5py)
    parts: dict[str, list[np.ndarray]] = {ACTION: [], **{f"observation.{k}": [] for k in keys}}
    for name in demos:
        actions = _numbers(path, data[name], f"data/{name}", "actions")
        parts[ACTION].append(actions)
        for key in keys:
            column = _numbers(path, data[name], f"data/{name}", f"obs/{key}")
            if len(column) != len(actions):
                raise DataError(
                    f"{path}: data/{name}/obs/{key} has {len(column)} rows, "
                    f"actions has {len(actions)}"
                )
            parts[f"observation.{key}"].append(column)
    lengths = [len(actions) for actions in parts[ACTION]]
    return Recording(
        source=f"{path} (robomimic HDF5)",
        columns={key: _joined(path, key, part) for key, part in parts.items()},
        episode_start=np.cumsum([0, *lengths[:-1]]).astype(np.int64),
        rate_hz=_rate_hz(data),
        notices=notices,
    )


def _observations(path: Path, demo: Any, name: str, h5py: Any) -> tuple[list[str], tuple[str, ...]]:
    """Keys of vectors under ``obs`` of the first demonstration, and notices of the others."""
    group = demo.get("obs") if isinstance(demo, h5py.Group) else None
    if not isinstance(group, h5py.Group):
        raise DataError(
            f"{path}: data/{name} has no group 'obs'; extract observations with robomimic's "
            "dataset_states_to_obs first"
        )
    keys, notices = [], []
    for key in sorted(group):
        item = group[key]
        if isinstance(item, h5py.Dataset) and item.ndim <= 2 and item.dtype.kind in "fiub":
            keys.append(key)
        else:
            kind = f"{item.dtype} of shape {item.shape}" if hasattr(item, "shape") else "group"
            notices.append(f"obs/{key}: {kind} skipped, taken are vectors of numbers")
    return keys, tuple(notices)


def _numbers(path: Path, demo: Any, where: str, key: str) -> np.ndarray:
    """A dataset as (T, dim) float32."""
    if not hasattr(demo, "keys") or not hasattr(demo.get(key), "dtype"):
        raise DataError(f"{path}: {where}/{key} is missing")
    item = demo[key]
    if item.dtype.kind not in "fiub" or item.ndim not in (1, 2) or len(item) == 0:
        raise DataError(f"{path}: {where}/{key} is {item.dtype} {item.shape}, wanted are numbers")
    return np.asarray(item[()], np.float32).reshape(len(item), -1)


def _joined(path: Path, key: str, parts: list[np.ndarray]) -> np.ndarray:
    widths = sorted({part.shape[1] for part in parts})
    if len(widths) > 1:
        raise DataError(f"{path}: {key!r} has {widths} elements in different demonstrations")
    return np.concatenate(parts)


def _rate_hz(data: Any) -> float | None:
    """What ``env_args`` says of the control rate."""
    try:
        rate = json.loads(data.attrs["env_args"])["env_kwargs"]["control_freq"]
        return float(rate) if float(rate) > 0 else None
    except (KeyError, ValueError, TypeError):
        return None


def _number(name: str) -> tuple[int, str]:
    """demo_2 before demo_10."""
    digits = re.search(r"\d+$", name)
    return (int(digits.group()) if digits else -1, name)
