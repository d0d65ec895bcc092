"""An official checkpoint opened: its configuration and the weights that count."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from models.official.archive import read_archive
from models.official.config import Config
from models.official.errors import OfficialCheckpointError

Weights = dict[str, Tensor]
IGNORED = ("_dummy_variable", "input_stats")
"""Parts of names: an empty parameter of every module, and what a normaliser was fitted to."""


@dataclass(frozen=True)
class OfficialCheckpoint:
    """``weights``: those of the moving average where training kept one; ``sha256``: of the file."""

    path: Path
    sha256: str
    config: Config
    weights: Weights

    def part(self, prefix: str) -> Weights:
        """Weights whose names begin with ``prefix``, without it."""
        found = self.weights.items()
        return {key.removeprefix(prefix): value for key, value in found if key.startswith(prefix)}


def open_checkpoint(path: Path) -> OfficialCheckpoint:
    """Reads the checkpoint at ``path``; raises OfficialCheckpointError naming what is wrong."""
    content = read_archive(path)
    try:
        if not isinstance(content, dict) or "state_dicts" not in content:
            raise OfficialCheckpointError("it holds no state_dicts")
        config = Config(content.get("cfg"))
        weights = _weights(content["state_dicts"], _averaged(config))
    except OfficialCheckpointError as error:
        raise OfficialCheckpointError(f"{path}: {error}") from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return OfficialCheckpoint(path, digest, config, weights)


def take(weights: Weights, name: str) -> Tensor:
    """The tensor of that name. Raises OfficialCheckpointError where it is missing."""
    try:
        return weights[name]
    except KeyError as error:
        raise OfficialCheckpointError(f"the weights lack {name}") from error


def _averaged(config: Config) -> bool:
    """Whether the moving average is what the official code would act with."""
    return bool(config.get("training.use_ema", False))


def _weights(state_dicts: object, averaged: bool) -> Weights:
    name = "ema_model" if averaged else "model"
    chosen = state_dicts.get(name) if isinstance(state_dicts, dict) else None
    if not isinstance(chosen, dict) or not chosen:
        raise OfficialCheckpointError(f"state_dicts lacks {name!r}")
    for key, value in chosen.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise OfficialCheckpointError(f"state_dicts.{name}: {key!r} is no tensor")
    return {k: v.float() for k, v in chosen.items() if not set(IGNORED) & set(k.split("."))}
