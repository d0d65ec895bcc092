"""From a checkpoint to a bundle: graphs in every precision, parity, manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx

from calibration.bundle_writer import refuse_to_clobber, write_bundle
from calibration.graphs import build_graphs
from calibration.parity import closed_loop, measure
from calibration.quantize import quantize_int8
from edge.bundle import COMMAND_KEY, Manifest
from models import checkpoint as checkpoints
from models.checkpoint import Checkpoint
from models.layers import trained_prefixes

Precision = Callable[[onnx.ModelProto], onnx.ModelProto]
PRECISIONS: dict[str, Precision] = {"fp32": lambda model: model, "int8": quantize_int8}
PARITY_OBSERVATIONS = 256


def export_bundle(
    checkpoint_dir: Path,
    out_dir: Path,
    precisions: Sequence[str] = ("fp32", "int8"),
    overwrite: bool = False,
    parity_observations: int = PARITY_OBSERVATIONS,
    episodes: int = 0,
) -> dict[str, Any]:
    """Exports the checkpoint to a bundle at ``out_dir`` and returns its parity report.

    With ``episodes`` the report also counts successes of the graphs in closed loop.
    Raises ValueError for an unknown precision, CheckpointError for a bad checkpoint, and
    FileExistsError if the bundle exists and ``overwrite`` is not set.
    """
    for precision in precisions:
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if not precisions:
        raise ValueError("name at least one precision")
    refuse_to_clobber(out_dir, overwrite)
    checkpoint = checkpoints.load(checkpoint_dir)
    horizon = checkpoint.facts["execution_horizon"]
    base = build_graphs(checkpoint.tokenizer, checkpoint.policy, horizon)
    graphs = {
        precision: {name: PRECISIONS[precision](model) for name, model in base.items()}
        for precision in precisions
    }
    parity = measure(checkpoint, graphs, parity_observations)
    if episodes > 0:
        for precision, models in graphs.items():
            runs = closed_loop(checkpoint, models, episodes)
            parity["precisions"][precision]["closed_loop"] = runs
    write_bundle(out_dir, _files(graphs, parity), _fields(checkpoint, graphs), overwrite)
    return parity


Graphs = Mapping[str, Mapping[str, onnx.ModelProto]]


def _path(precision: str, graph: str) -> str:
    return f"{precision}/{graph}.onnx"


def _files(graphs: Graphs, parity: Mapping[str, Any]) -> dict[str, bytes]:
    files = {
        _path(precision, name): model.SerializeToString(deterministic=True)
        for precision, models in graphs.items()
        for name, model in models.items()
    }
    files["parity.json"] = (json.dumps(parity, indent=2) + "\n").encode()
    return files


def _fields(checkpoint: Checkpoint, graphs: Graphs) -> dict[str, Any]:
    """The manifest's fields, all but the list of files."""
    facts, policy = checkpoint.facts, checkpoint.policy.config
    observation = [
        {"key": key, "size": size, **facts["features"].get(key, {})}
        for key, size in policy.features.items()
    ]
    return {
        "format_version": Manifest.model_fields["format_version"].default,
        "name": facts["name"],
        "task": facts["task"],
        "n_obs_steps": policy.n_obs_steps,
        "observation": observation,
        "action": _action(checkpoint),
        "tokenizer": _tokenizer(checkpoint),
        "caches": {
            "cross": _cache(checkpoint, policy.n_obs_steps),
            "self": _cache(checkpoint, policy.num_tokens),
        },
        "graphs": {p: {name: _path(p, name) for name in models} for p, models in graphs.items()},
        "architecture": {
            "tokenizer": asdict(checkpoint.tokenizer.config),
            "policy": asdict(policy),
        },
        "provenance": facts["training"],
    }


def _action(checkpoint: Checkpoint) -> dict[str, Any]:
    facts, norm = checkpoint.facts, checkpoint.tokenizer.normalizer
    low, high = (norm.inverse(norm.scale.new_full((), sign)).tolist() for sign in (-1.0, 1.0))
    return {
        **facts["action"],
        "rate_hz": facts["rate_hz"],
        "action_horizon": checkpoint.tokenizer.config.action_horizon,
        "execution_horizon": facts["execution_horizon"],
        "minimum": low,
        "maximum": high,
    }


def _tokenizer(checkpoint: Checkpoint) -> dict[str, Any]:
    config = checkpoint.tokenizer.config
    return {
        "levels": config.levels,
        "tokens": config.num_tokens,
        "begin_token": checkpoint.policy.config.bos,
        "trained_prefixes": trained_prefixes(config.num_tokens, config.nested_dropout),
        "conditioned_on": COMMAND_KEY if config.conditioned_on_command else None,
    }


def _cache(checkpoint: Checkpoint, length: int) -> tuple[int, ...]:
    policy = checkpoint.policy.config
    return (policy.layers, 2, 1, policy.heads, length, policy.head_dim)
