"""From official OAT checkpoints to a bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import torch

from calibration.bundle_fields import ENCODER, graph_file, head_steps, manifest_fields
from calibration.bundle_writer import refuse_to_clobber, write_bundle
from calibration.decoder_graph import build_decode
from calibration.encoder_graph import build_encode
from calibration.import_parity import policy_parity, tokenizer_parity
from calibration.prefill_graph import build_prefill
from calibration.step_graph import build_step
from models.official.checkpoint import OfficialCheckpoint, open_checkpoint
from models.official.policy import import_policy
from models.official.tokenizer import import_tokenizer
from models.policy import OATPolicy
from models.tokenizer import OATTokenizer

PRECISION = "fp32"


@dataclass(frozen=True)
class ImportFacts:
    """What the checkpoints do not say, or what is to be said instead.

    ``joints``: names of the action's elements, ``joint_0`` and so on where empty.
    ``execution_horizon``: the policy's own where None, and all actions for a tokenizer alone.
    ``observations``: our key by official name, ``observation.NAME`` where it is not in there.
    """

    name: str
    task: str = "imported"
    rate_hz: float = 50.0
    unit: str = "rad"
    joints: Sequence[str] = ()
    execution_horizon: int | None = None
    observations: Mapping[str, str] = field(default_factory=dict)


@torch.no_grad()
def import_bundle(
    tokenizer_file: Path,
    policy_file: Path | None,
    out: Path,
    facts: ImportFacts,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes a bundle of a tokenizer, and of the policy that was trained with it if there is one.

    Returns the parity report: how far the graphs are from the imported models in torch. Raises
    OfficialCheckpointError for a file that is not imported, ValueError for facts that do not fit,
    FileExistsError if the bundle exists and ``overwrite`` is not set.
    """
    refuse_to_clobber(out, overwrite)
    sources = {"tokenizer": open_checkpoint(tokenizer_file)}
    tokenizer, policy = import_tokenizer(sources["tokenizer"]), None
    if policy_file is not None:
        sources["policy"] = open_checkpoint(policy_file)
        tokenizer, policy = import_policy(sources["policy"], tokenizer, facts.observations)
    described = _facts(facts, tokenizer, sources)
    graphs = _graphs(tokenizer, policy, described["execution_horizon"])
    parity = (
        tokenizer_parity(tokenizer, graphs)
        if policy is None
        else policy_parity(tokenizer, policy, graphs)
    )
    parity["precisions"] = {PRECISION: parity["precisions"]}
    fields = manifest_fields(tokenizer, policy, described, {PRECISION: graphs})
    write_bundle(out, _files(tokenizer, graphs, parity), fields, overwrite)
    return parity


def _graphs(
    tokenizer: OATTokenizer, policy: OATPolicy | None, execute: int
) -> dict[str, onnx.ModelProto]:
    graphs = {
        "decode": build_decode(tokenizer, head_steps(execute)),
        "decode_full": build_decode(tokenizer, tokenizer.config.action_horizon),
    }
    if policy is None:
        return graphs
    return {"prefill": build_prefill(policy), "step": build_step(policy)} | graphs


def _files(
    tokenizer: OATTokenizer, graphs: Mapping[str, onnx.ModelProto], parity: Mapping[str, Any]
) -> dict[str, bytes]:
    models = {graph_file(PRECISION, name): model for name, model in graphs.items()}
    models[ENCODER] = build_encode(tokenizer)
    files = {name: model.SerializeToString(deterministic=True) for name, model in models.items()}
    return files | {"parity.json": (json.dumps(parity, indent=2) + "\n").encode()}


def _facts(
    given: ImportFacts, tokenizer: OATTokenizer, sources: Mapping[str, OfficialCheckpoint]
) -> dict[str, Any]:
    """Facts as a checkpoint of ours has them."""
    config = tokenizer.config
    joints = list(given.joints) or [f"joint_{index}" for index in range(config.action_dim)]
    if len(joints) != config.action_dim:
        raise ValueError(f"{len(joints)} joints are named, the actions have {config.action_dim}")
    return {
        "name": given.name,
        "task": given.task,
        "rate_hz": given.rate_hz,
        "execution_horizon": _execution_horizon(given, config.action_horizon, sources),
        "features": {},
        "action": {"names": joints, "unit": given.unit},
        "training": {
            "imported_from": "official OAT checkpoints",
            **{f"{name}_sha256": source.sha256 for name, source in sources.items()},
            "token_dropout_mode": str(
                sources["tokenizer"].config.get("tokenizer.decoder.token_dropout_mode")
            ),
        },
    }


def _execution_horizon(
    given: ImportFacts, horizon: int, sources: Mapping[str, OfficialCheckpoint]
) -> int:
    steps: Any = given.execution_horizon
    if steps is None and "policy" in sources:
        config = sources["policy"].config
        steps = config.get("policy.n_action_steps", config.get("n_action_steps"))
    steps = horizon if steps is None else steps
    if not isinstance(steps, int) or not 1 <= steps <= horizon:
        raise ValueError(f"execution horizon is {steps!r}, allowed is 1 to {horizon}")
    return int(steps)
