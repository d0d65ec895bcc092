"""Checkpoints: a directory of JSON and safetensors, never a pickle.

config.json            sizes of both models, facts of the task and the training
weights.safetensors    the weights, matrices in FP16, and the normalisers' statistics
examples.safetensors   observations that were held out
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as deserialise
from safetensors.torch import save as serialise
from torch import Tensor

from models.directories import write_directory
from models.policy import OATPolicy, PolicyConfig
from models.tokenizer import OATTokenizer, TokenizerConfig

FORMAT_VERSION = 1
OAT = "oat"
"""Kind of a checkpoint that names none; those of ``models.rivals`` name theirs."""


class CheckpointError(ValueError):
    """The directory is not a checkpoint of ours; the message names the file."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained pair, the JSON facts of its task and training, and held-out observations.

    ``examples`` maps each feature to raw values (N, n_obs_steps, dim) that were not trained on;
    the export measures its parity on them.
    """

    tokenizer: OATTokenizer
    policy: OATPolicy
    facts: dict[str, Any]
    examples: dict[str, Tensor]


def save(directory: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint; an older one there stays whole until the new one is complete."""
    weights = {
        f"{name}.{key}": stored(value)
        for name, model in (("tokenizer", checkpoint.tokenizer), ("policy", checkpoint.policy))
        for key, value in model.state_dict().items()
        if key != "head.weight"  # tied to tok_emb.weight
    }
    config = {
        "format_version": FORMAT_VERSION,
        "tokenizer": asdict(checkpoint.tokenizer.config),
        "policy": asdict(checkpoint.policy.config),
        "facts": checkpoint.facts,
    }
    files = {
        "config.json": (json.dumps(config, indent=2) + "\n").encode(),
        "weights.safetensors": serialise(weights),
        "examples.safetensors": serialise(dict(checkpoint.examples)),
    }
    write_directory(directory, files)


def load(directory: Path) -> Checkpoint:
    """Reads a checkpoint, in evaluation mode; raises CheckpointError naming what is wrong."""
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a checkpoint's config ({error})") from error
    if config.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(f"{path}: format_version must be {FORMAT_VERSION}")
    if config.get("kind", OAT) != OAT:
        raise CheckpointError(f"{path}: kind is {config['kind']!r}, only {OAT!r} is read here")
    try:
        levels = tuple(config["tokenizer"].pop("levels"))
        tokenizer = OATTokenizer(TokenizerConfig(levels=levels, **config["tokenizer"]))
        policy = OATPolicy(PolicyConfig(**config["policy"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not the sizes of a checkpoint ({error})") from error
    _load_weights(directory / "weights.safetensors", tokenizer, policy)
    examples = read_tensors(directory / "examples.safetensors")
    return Checkpoint(tokenizer.eval(), policy.eval(), config["facts"], examples)


def _load_weights(path: Path, tokenizer: OATTokenizer, policy: OATPolicy) -> None:
    weights = read_tensors(path)
    try:
        weights["policy.head.weight"] = weights["policy.tok_emb.weight"]
        for name, model in (("tokenizer.", tokenizer), ("policy.", policy)):
            part = {k.removeprefix(name): v for k, v in weights.items() if k.startswith(name)}
            model.load_state_dict(part)
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: weights do not fit the config ({reason})") from error


def stored(value: Tensor) -> Tensor:
    """As weights are kept: matrices in FP16, all else as it is."""
    matrix = value.ndim > 1 and value.is_floating_point()
    return (value.half() if matrix else value).contiguous()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file by name; raises CheckpointError naming a file that is none."""
    try:
        return deserialise(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: not readable as tensors ({error})") from error
