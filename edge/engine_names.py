"""Names of the engines: the one list that ``robot.yaml``, the commands and the factory agree on."""

from __future__ import annotations

from typing import Literal, get_args

EngineName = Literal[
    "native", "ort", "ort-cuda", "openvino", "tensorrt", "tensorrt-lean", "tensorrt-rtx", "auto"
]
ENGINES: tuple[str, ...] = get_args(EngineName)
