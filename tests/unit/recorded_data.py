"""Small datasets in the formats of other systems, written with the formats' own libraries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import zarr
from pyarrow import parquet

LENGTHS = (40, 50, 60)
STEPS = sum(LENGTHS)
STARTS = np.array([0, 40, 90])
RATE_HZ = 50
ZARR_3 = not zarr.__version__.startswith("2.")  # the last for Python 3.10 is 2.18


def columns(seed: int = 0) -> dict[str, np.ndarray]:
    """Slow random walks of 3 joints and of a scene with 2 elements, and the actions."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0, 0.01, (STEPS, 3)), axis=0).astype(np.float32)
    scene = np.cumsum(rng.normal(0, 0.01, (STEPS, 2)), axis=0).astype(np.float32)
    return {"observation.state": walk, "observation.scene": scene, "action": walk + 0.01}


def parts(values: np.ndarray) -> list[np.ndarray]:
    """Rows of each episode."""
    return np.split(values, STARTS[1:])


def write_lerobot(path: Path, data: dict[str, np.ndarray], **info: Any) -> Path:
    """A v3.0 directory of two parquet files; ``info`` replaces keys of info.json."""
    frame = np.concatenate([np.arange(length) for length in LENGTHS])
    counters = {
        "timestamp": (frame / RATE_HZ).astype(np.float32),
        "frame_index": frame,
        "episode_index": np.repeat(np.arange(3), LENGTHS),
        "index": np.arange(STEPS),
        "task_index": np.zeros(STEPS, int),
    }
    features = {
        key: {
            "dtype": "float32",
            "shape": [value.shape[1]],
            "names": [f"j{i}" for i in range(value.shape[1])],
        }
        for key, value in data.items()
    }
    features["observation.images.top"] = {"dtype": "video", "shape": [3, 48, 64], "names": None}
    features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    described = {
        "codebase_version": "v3.0",
        "fps": RATE_HZ,
        "total_episodes": len(LENGTHS),
        "total_frames": STEPS,
        "features": features,
    } | info
    (path / "meta").mkdir(parents=True)
    (path / "meta" / "info.json").write_text(json.dumps(described))
    folder = path / "data" / "chunk-000"
    folder.mkdir(parents=True)
    for number, rows in enumerate((slice(0, 90), slice(90, STEPS))):
        arrays = {
            key: pa.FixedSizeListArray.from_arrays(value[rows].ravel(), value.shape[1])
            for key, value in data.items()
        }
        arrays |= {key: pa.array(value[rows]) for key, value in counters.items()}
        parquet.write_table(pa.table(arrays), folder / f"file-{number:03d}.parquet")
    return path


def write_hdf5(path: Path, data: dict[str, np.ndarray], rate_hz: float | None = RATE_HZ) -> Path:
    """A robomimic-style file with a picture beside the vectors; demo_10 stands before demo_2."""
    with h5py.File(path, "w") as file:
        group = file.create_group("data")
        arguments = {"env_name": "Lift", "env_kwargs": {"control_freq": rate_hz}}
        group.attrs["env_args"] = json.dumps(arguments)
        for number, index in zip((1, 2, 10), range(3), strict=True):
            demo = group.create_group(f"demo_{number}")
            demo.create_dataset("actions", data=parts(data["action"])[index])
            demo.create_dataset("obs/state", data=parts(data["observation.state"])[index])
            demo.create_dataset("obs/scene", data=parts(data["observation.scene"])[index])
            demo.create_dataset("obs/top_image", data=np.zeros((LENGTHS[index], 4, 4, 3), "u1"))
    return path


def write_zarr(path: Path, data: dict[str, np.ndarray], version: int = 2) -> Path:
    """A replay buffer, in the format's version 2 as the official code writes it, or in 3."""
    root = open_buffer(path, "w", version)
    for key, value in data.items():
        put(root, f"data/{key.removeprefix('observation.')}", value)
    put(root, "data/top_image", np.zeros((STEPS, 4, 4, 3), "u1"))
    put(root, "meta/episode_ends", np.cumsum(LENGTHS))
    return path


def open_buffer(path: Path, mode: str, version: int = 2) -> Any:
    """A Zarr group to write to, with either version of the library."""
    if not ZARR_3:
        return zarr.open_group(str(path), mode=mode, zarr_version=version)
    return zarr.open_group(str(path), mode=mode, zarr_format=version)


def put(root: Any, key: str, value: np.ndarray) -> None:
    """Write an array, in the place of one that is there."""
    create = root.create_array if ZARR_3 else root.create_dataset
    create(key, data=value, overwrite=True)


def write_npz(path: Path, data: dict[str, np.ndarray], **arrays: np.ndarray) -> Path:
    """A demonstrations file of our own; ``arrays`` replaces some."""
    whole = {"mask": np.ones(STEPS, bool), "episode_start": STARTS} | arrays
    np.savez(path, **data, **{"observation.command": data["action"]}, **whole)
    return path
