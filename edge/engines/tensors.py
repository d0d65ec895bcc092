"""What each graph of a bundle takes and gives: names, shapes and types, by the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.bundle import OBSERVATION, Manifest
from edge.errors import EngineError

COMMAND = "command"
"""The newest command, where it is all of the condition."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Shape and element type of one input or output; ``dtype`` by its NumPy name."""

    shape: tuple[int, ...]
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


@dataclass(frozen=True, slots=True)
class GraphTensors:
    """Inputs and outputs of one graph, by name."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


def graph_tensors(manifest: Manifest) -> dict[str, GraphTensors]:
    """Inputs and outputs of every graph; ``docs/bundle.md`` says what they mean."""
    return _policy_tensors(manifest) | _tokenizer_tensors(manifest)


def _policy_tensors(manifest: Manifest) -> dict[str, GraphTensors]:
    if manifest.caches is None:
        return {}
    cross, cache = Tensor(manifest.caches.cross), Tensor(manifest.caches.self_)
    token, scalar = Tensor((1, 1), "int64"), Tensor((1,), "int64")
    step = {"token": token, "position": scalar, "cross_kv": cross, "self_kv": cache}
    made = {"next_token": token, "self_kv_next": cache}
    return {
        "prefill": GraphTensors(_features(manifest), {"cross_kv": cross} | made),
        "step": GraphTensors(step, made),
    }


def _tokenizer_tensors(manifest: Manifest) -> dict[str, GraphTensors]:
    joints = len(manifest.action.names)
    tokens, prefix = Tensor((1, manifest.tokenizer.tokens), "int64"), Tensor((1,), "int64")
    head = Tensor((1, manifest.action.head_steps, joints))
    full = Tensor((1, manifest.action.action_horizon, joints))
    condition = condition_tensors(manifest)
    code = {"tokens": tokens, "prefix": prefix} | condition
    return {
        "decode": GraphTensors(code, {"action": head}),
        "decode_full": GraphTensors(code, {"action": full}),
        "encode": GraphTensors({"chunks": full} | condition, {"tokens": tokens}),
    }


def condition_tensors(manifest: Manifest) -> dict[str, Tensor]:
    """What the tokenizer's graphs read besides tokens: the newest command, all features, nothing.

    Features go by their keys, and are those that ``prefill`` reads.
    """
    conditioned_on = manifest.tokenizer.conditioned_on
    if conditioned_on is None:
        return {}
    if conditioned_on == OBSERVATION:
        return _features(manifest)
    return {COMMAND: Tensor((1, len(manifest.action.names)))}


def _features(manifest: Manifest) -> dict[str, Tensor]:
    steps = manifest.n_obs_steps
    return {item.key: Tensor((1, steps, item.size)) for item in manifest.observation}


def check_tensors(
    graph: str, kind: str, have: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> None:
    """Refuse a graph whose ``kind`` ("input", "output") is not as the manifest has it."""
    if dict(have) != dict(wanted):
        raise EngineError(
            f"graph {graph}: {kind}s are {_listed(have)}; the manifest says {_listed(wanted)}"
        )


def _listed(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {tensor}" for name, tensor in sorted(tensors.items())) or "none"
