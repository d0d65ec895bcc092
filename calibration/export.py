"""From a checkpoint to a bundle: graphs in every precision, parity, manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from calibration.bundle_writer import refuse_to_clobber, write_bundle
from calibration.encoder_graph import build_encode
from calibration.graphs import build_graphs
from calibration.manifest_fields import ENCODER, graph_file, manifest_fields
from calibration.parity import closed_loop, measure
from calibration.quantize import quantize_int8
from models import checkpoint as checkpoints

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
    fields = manifest_fields(checkpoint.tokenizer, checkpoint.policy, checkpoint.facts, graphs)
    files = _files(graphs, build_encode(checkpoint.tokenizer), parity)
    write_bundle(out_dir, files, fields, overwrite)
    return parity


Graphs = Mapping[str, Mapping[str, onnx.ModelProto]]


def _files(graphs: Graphs, encoder: onnx.ModelProto, parity: Mapping[str, Any]) -> dict[str, bytes]:
    models = {ENCODER: encoder} | {
        graph_file(precision, name): model
        for precision, named in graphs.items()
        for name, model in named.items()
    }
    files = {name: model.SerializeToString(deterministic=True) for name, model in models.items()}
    files["parity.json"] = (json.dumps(parity, indent=2) + "\n").encode()
    return files
