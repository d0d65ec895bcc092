"""Records between a run and its plant: what a person beside the robot would do and see."""

from __future__ import annotations

from typing import Any

import numpy as np

PLACE: np.dtype[Any] = np.dtype([("episode", "<i8")])
TRUTH: np.dtype[Any] = np.dtype(
    [("episode", "<i8"), ("succeeded", "<i4"), ("height_m", "<f8"), ("slipped_ns", "<i8")]
)
