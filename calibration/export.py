"""From a checkpoint to a bundle: graphs in every precision, parity, the gate, manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx

from calibration.bundle_fields import ENCODER, graph_file, head_steps, manifest_fields
from calibration.bundle_writer import refuse_to_clobber, write_bundle
from calibration.closed_loop import closed_loop
from calibration.encoder_graph import build_encode
from calibration.gate import Bounds, GateError, violations
from calibration.graphs import build_graphs
from calibration.half_weights import exact_half_weights
from calibration.observations import thinned
from calibration.parity import compare, reference
from calibration.precisions import PRECISIONS
from calibration.products import Graphs
from calibration.sensitivity import worst
from calibration.session import GraphModel
from calibration.workshop import Calibration, Progress, Workshop
from models import checkpoint as checkpoints
from models.checkpoint import Checkpoint
from models.directories import require_writable

DEFAULT_PRECISIONS = ("fp32", "fp16", "int8")
PARITY_OBSERVATIONS = 3000
HALF_OBSERVATIONS = 256
"""At most so many for a precision that holds FP16: evaluated in its own types it takes long."""


def export_bundle(
    checkpoint_dir: Path,
    out_dir: Path,
    precisions: Sequence[str] = DEFAULT_PRECISIONS,
    overwrite: bool = False,
    parity_observations: int = PARITY_OBSERVATIONS,
    episodes: int = 0,
    bounds: Bounds | None = None,
    calibration: Calibration | None = None,
    progress: Progress = lambda line: None,
) -> dict[str, Any]:
    """Exports the checkpoint to a bundle at ``out_dir`` and returns its parity report.

    With ``episodes`` the report also counts successes of the graphs in closed loop.
    Raises GateError, and writes nothing, if a precision breaks a bound; ValueError for an unknown
    precision, CheckpointError for a bad checkpoint, and FileExistsError if the bundle exists and
    ``overwrite`` is not set.
    """
    check_precisions(precisions)
    refuse_to_clobber(out_dir, overwrite)
    require_writable(out_dir)
    checkpoint, bounds = checkpoints.load(checkpoint_dir), bounds or Bounds()
    head = head_steps(checkpoint.facts["execution_horizon"])
    base = build_graphs(checkpoint.tokenizer, checkpoint.policy, head)
    workshop = Workshop(checkpoint, base, bounds, calibration or Calibration(), progress)
    graphs = {precision: workshop.make(precision) for precision in precisions}
    parity = _parity(checkpoint, workshop, graphs, parity_observations, progress)
    baseline = _run_closed_loop(checkpoint, base, graphs, parity, episodes, progress)
    _refuse_what_fails(workshop, parity, bounds, baseline)
    for precision, figures in parity["precisions"].items():
        figures |= workshop.notes(precision)
    judged = asdict(bounds)
    if not episodes:
        del judged["max_success_drop"]
    parity["gate"] = judged
    facts = _with_calibration(checkpoint.facts, workshop, precisions)
    fields = manifest_fields(checkpoint.tokenizer, checkpoint.policy, facts, graphs)
    files = _files(graphs, exact_half_weights(build_encode(checkpoint.tokenizer)), parity)
    write_bundle(out_dir, files, fields, overwrite)
    return parity


def check_precisions(precisions: Sequence[str]) -> None:
    """Raises ValueError for none at all, or for one that there is not."""
    for precision in precisions:
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if not precisions:
        raise ValueError("name at least one precision")


def _parity(
    checkpoint: Checkpoint,
    workshop: Workshop,
    graphs: Mapping[str, Graphs],
    limit: int,
    progress: Progress,
) -> dict[str, Any]:
    """The report on at most ``limit`` observations that nothing was chosen by."""
    observations, source = workshop.judgement(list(graphs), limit)
    truth = reference(checkpoint, observations)
    rows = {}
    for precision, models in graphs.items():
        progress(f"comparing {precision} with torch")
        if PRECISIONS[precision].half:
            few = reference(checkpoint, thinned(observations, HALF_OBSERVATIONS))
            rows[precision] = compare(GraphModel(models, true_types=True), few)
        else:
            rows[precision] = compare(GraphModel(models), truth)
    rows.get("fp32", {}).pop("token_agreement_low", None)  # no sample's question: it is exact
    return {"observations": len(truth.rows), "source": source, "precisions": rows}


def _run_closed_loop(
    checkpoint: Checkpoint,
    base: Graphs,
    graphs: Mapping[str, Graphs],
    parity: dict[str, Any],
    episodes: int,
    progress: Progress,
) -> dict[str, dict[str, int]] | None:
    """Adds successes to the report; returns those of FP32."""
    if episodes == 0:
        return None
    runs = {}
    for precision, models in {"fp32": base, **graphs}.items():
        progress(f"{episodes} episodes for each prefix with {precision}")
        runs[precision] = closed_loop(checkpoint, models, episodes)
        if precision in graphs:
            parity["precisions"][precision]["closed_loop"] = runs[precision]
    return runs["fp32"]


def _refuse_what_fails(
    workshop: Workshop, parity: dict[str, Any], bounds: Bounds, baseline: Any
) -> None:
    for precision, figures in parity["precisions"].items():
        found = violations(figures, bounds, baseline)
        if found:
            raise GateError(f"{precision}: {'; '.join(found)}{_blame(workshop, precision, bounds)}")


def _blame(workshop: Workshop, precision: str, bounds: Bounds) -> str:
    """The layer that hurts most among those that are lowered."""
    if precision == "fp32":
        return ""
    kept = workshop.kept(precision)
    lowered = [damage for damage in workshop.damages(precision) if damage.layer not in kept]
    damage = worst(lowered, bounds)
    if damage is None:
        return ""
    if damage.of_decoder:
        return f"; {damage.layer} hurts most: alone {damage.action_error_p99_rad:.3g} rad p99"
    return f"; {damage.layer} hurts most: alone it flips {damage.tokens_flipped:.2%} of the tokens"


def _with_calibration(
    facts: Mapping[str, Any], workshop: Workshop, precisions: Sequence[str]
) -> dict[str, Any]:
    """The checkpoint's facts; how ranges were calibrated joins the provenance if any were."""
    calibrated = workshop.layers and any(PRECISIONS[name].calibrated for name in precisions)
    made = {"calibration": workshop.provenance()} if calibrated else {}
    return {**facts, "training": {**facts["training"], **made}}


def _files(
    graphs: Mapping[str, Graphs], encoder: onnx.ModelProto, parity: Mapping[str, Any]
) -> dict[str, bytes]:
    models = {ENCODER: encoder} | {
        graph_file(precision, name): model
        for precision, named in graphs.items()
        for name, model in named.items()
    }
    files = {name: model.SerializeToString(deterministic=True) for name, model in models.items()}
    files["parity.json"] = (json.dumps(parity, indent=2) + "\n").encode()
    return files
