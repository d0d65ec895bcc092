"""Checkpoints of rivals: a directory of JSON and safetensors, never a pickle.

config.json            kind, sizes of network and tokenizer, facts of the task and the training
weights.safetensors    matrices in FP16, everything else in FP32

``save`` rounds, so a policy is judged as it was loaded, not as it was trained.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save as serialise
from torch import Tensor, nn

from models.agent import Agent
from models.checkpoint import FORMAT_VERSION, CheckpointError, read_tensors, stored
from models.directories import write_directory
from models.policy import OATPolicy, PolicyConfig
from models.rivals import RIVALS
from models.rivals.diffusion import DiffusionConfig, DiffusionPolicy
from models.rivals.mlp import ChunkMlp, MlpConfig
from models.token_agent import TokenAgent
from models.tokenizers.binning import BinningConfig, BinningTokenizer
from models.tokenizers.fast import FastConfig, FastTokenizer
from models.tokenizers.latent import LatentConfig, LatentTokenizer

TOKENIZERS: dict[str, tuple[Any, Any]] = {
    "bin": (BinningConfig, BinningTokenizer),
    "fast": (FastConfig, FastTokenizer),
    "quest": (LatentConfig, LatentTokenizer),
    "vq": (LatentConfig, LatentTokenizer),
}
_NETWORKS: dict[str, tuple[Any, Any]] = {
    "diffusion": (DiffusionConfig, DiffusionPolicy),
    "mlp": (MlpConfig, ChunkMlp),
}


@dataclass(frozen=True)
class Rival:
    """A trained policy of a ``kind``, its tokenizer if it has one, and the facts about both."""

    kind: str
    network: nn.Module
    tokenizer: nn.Module | None
    facts: dict[str, Any]

    def agent(self) -> Agent:
        """What plans with it."""
        if self.tokenizer is None:
            return self.network
        return TokenAgent(self.network, self.tokenizer, self.tokenizer.config.action_horizon)


def save(directory: Path, rival: Rival) -> None:
    """Writes a checkpoint; an older one there stays whole until the new one is complete."""
    parts = {"network": rival.network, "tokenizer": rival.tokenizer}
    models = {name: model for name, model in parts.items() if model is not None}
    weights = {
        f"{name}.{key}": stored(value)
        for name, model in models.items()
        for key, value in model.state_dict().items()
        if (name, key) != ("network", "head.weight") or not _is_tied(model)
    }
    config = {
        "format_version": FORMAT_VERSION,
        "kind": rival.kind,
        **{name: asdict(model.config) for name, model in models.items()},
        "facts": rival.facts,
    }
    files = {
        "config.json": (json.dumps(config, indent=2) + "\n").encode(),
        "weights.safetensors": serialise(weights),
    }
    write_directory(directory, files)


def load(directory: Path) -> Rival:
    """Reads a checkpoint, in evaluation mode; raises CheckpointError naming what is wrong."""
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text())
        kind = config["kind"]
        network, tokenizer = _build(kind, config) if kind in RIVALS else (None, None)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not the config of a rival ({error})") from error
    if network is None:
        raise CheckpointError(f"{path}: kind is {kind!r}, allowed are {', '.join(RIVALS)}")
    weights = read_tensors(directory / "weights.safetensors")
    _load_weights(directory / "weights.safetensors", "network.", network, weights)
    if tokenizer is not None:
        _load_weights(directory / "weights.safetensors", "tokenizer.", tokenizer, weights)
        tokenizer.eval()
    return Rival(kind, network.eval(), tokenizer, config["facts"])


def _build(kind: str, config: dict[str, Any]) -> tuple[nn.Module, nn.Module | None]:
    if kind not in TOKENIZERS:
        make_config, make = _NETWORKS[kind]
        return make(make_config(**config["network"])), None
    make_config, make = TOKENIZERS[kind]
    tokenizer = make(make_config(**config["tokenizer"]))
    return OATPolicy(PolicyConfig(**config["network"])), tokenizer


def _load_weights(path: Path, prefix: str, model: nn.Module, weights: dict[str, Tensor]) -> None:
    own = {k.removeprefix(prefix): v.float() for k, v in weights.items() if k.startswith(prefix)}
    try:
        if _is_tied(model):
            own["head.weight"] = own["tok_emb.weight"]
        model.load_state_dict(own)
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: weights do not fit the config ({reason})") from error


def _is_tied(model: nn.Module) -> bool:
    """Whether the output layer is the embedding's matrix, which is then stored once."""
    return isinstance(model, OATPolicy)
