"""What a bundle's manifest says of the models in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from calibration.policy_layers import cross_shape, self_shape
from edge.bundle import COMMAND_KEY, OBSERVATION, Manifest
from models.layers import trained_prefixes
from models.policy import OATPolicy, PolicyConfig
from models.tokenizer import OATTokenizer, TokenizerConfig

ENCODER = "encode.onnx"


def head_steps(execution_horizon: int) -> int:
    """How many actions a chunk's head has: a quarter of what is executed, rounded up.

    A plan's deadline is that of its head; the whole chunk is decoded right behind it.
    """
    return -(-execution_horizon // 4)


def graph_file(precision: str, graph: str) -> str:
    """Where a graph is in the bundle."""
    return f"{precision}/{graph}.onnx"


def manifest_fields(
    tokenizer: OATTokenizer,
    policy: OATPolicy | None,
    facts: Mapping[str, Any],
    graphs: Mapping[str, Iterable[str]],
) -> dict[str, Any]:
    """The manifest's fields, all but the list of files; without a policy, of a tokenizer alone.

    ``facts``: those of a checkpoint. ``graphs``: names of the graphs by precision; the encoder is
    taken to be in the bundle.
    """
    fields = {
        "format_version": Manifest.model_fields["format_version"].default,
        "name": facts["name"],
        "task": facts["task"],
        "action": _action(tokenizer, facts),
        "tokenizer": _tokenizer(tokenizer),
        "graphs": {p: {name: graph_file(p, name) for name in names} for p, names in graphs.items()},
        "encoder": ENCODER,
        "architecture": {"tokenizer": asdict(tokenizer.config)},
        "provenance": facts["training"],
    }
    return fields if policy is None else fields | _policy(fields, policy.config, facts)


def _policy(
    fields: Mapping[str, Any], config: PolicyConfig, facts: Mapping[str, Any]
) -> dict[str, Any]:
    features = facts["features"]
    return {
        "n_obs_steps": config.n_obs_steps,
        "observation": [
            {"key": key, "size": size, **features.get(key, {})}
            for key, size in config.features.items()
        ],
        "caches": {
            "cross": cross_shape(config),
            "self": self_shape(config),
        },
        "architecture": fields["architecture"] | {"policy": asdict(config)},
    }


def _action(tokenizer: OATTokenizer, facts: Mapping[str, Any]) -> dict[str, Any]:
    norm = tokenizer.normalizer
    low, high = (norm.inverse(norm.scale.new_full((), sign)).tolist() for sign in (-1.0, 1.0))
    return {
        **facts["action"],
        "rate_hz": facts["rate_hz"],
        "action_horizon": tokenizer.config.action_horizon,
        "execution_horizon": facts["execution_horizon"],
        "head_steps": head_steps(facts["execution_horizon"]),
        "minimum": low,
        "maximum": high,
        "clamped": tokenizer.config.clamp,
    }


def _conditioned_on(config: TokenizerConfig) -> str | None:
    if config.observed:
        return OBSERVATION
    return COMMAND_KEY if config.conditioned_on_command else None


def _tokenizer(tokenizer: OATTokenizer) -> dict[str, Any]:
    config = tokenizer.config
    return {
        "levels": config.levels,
        "tokens": config.num_tokens,
        "trained_prefixes": trained_prefixes(config.num_tokens, config.nested_dropout),
        "conditioned_on": _conditioned_on(config),
    }
