"""Bundles for tests of engines: a tiny untrained one, and observations for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from calibration.export import export_bundle
from calibration.gate import Bounds
from edge import bundle as bundles
from edge.bundle import Bundle, Manifest
from edge.engines import Engine, Float32Array
from edge.records import request_dtype
from edge.shared_memory import Record
from models import checkpoint as checkpoints
from models.checkpoint import Checkpoint
from tests.unit.tiny_models import tiny_checkpoint
from tests.unit.wide_models import wide_checkpoint

WIDE_EXAMPLES = 16

LOOSE = Bounds(max_action_error_rad=1.0, min_token_agreement=0.0, max_largest_error_rad=10.0)
"""For untrained models: their tokens are as good as random, and so near to one another."""


def tiny_bundle(folder: Path, **tokenizer_changes: Any) -> Bundle:
    """Export an untrained policy of 4 tokens and 3 joints, too narrow to be quantized."""
    return _exported(folder, tiny_checkpoint(**tokenizer_changes))


def wide_bundle(folder: Path, **tokenizer_changes: Any) -> Bundle:
    """The same of a policy whose every graph has layers to quantize, all of which are."""
    return _exported(folder, wide_checkpoint(WIDE_EXAMPLES, **tokenizer_changes))


def _exported(folder: Path, checkpoint: Checkpoint) -> Bundle:
    checkpoints.save(folder / "checkpoint", checkpoint)
    export_bundle(folder / "checkpoint", folder / "bundle", bounds=LOOSE)
    return bundles.load(folder / "bundle")


def random_features(manifest: Manifest, seed: int) -> Record:
    """One observation record, normally distributed."""
    record = np.zeros((), request_dtype(manifest))["features"]
    rng = np.random.default_rng(seed)
    for key in record.dtype.names or ():
        record[key] = rng.normal(size=record[key].shape)
    return record


def plan(engine: Engine, features: Record, tokens: int) -> tuple[list[int], list[Float32Array]]:
    """All tokens of a plan, and its actions: executed after each token, then the whole horizon."""
    engine.prefill(features)
    codes, actions = [], []
    for prefix in range(1, tokens + 1):
        codes.append(engine.next_token())
        actions.append(engine.decode(prefix).copy())
    return codes, [*actions, engine.decode_full(tokens).copy()]
