"""Where each of the engine's tensors is on the device: one allocation, every tensor aligned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge.bundle import Manifest
from edge.engines.tensors import Tensor, graph_tensors

ALIGNMENT = 256  # IExecutionContext.set_tensor_address


@dataclass(frozen=True, slots=True)
class Region:
    """A tensor's place: offset in bytes from the start of the allocation."""

    offset: int
    tensor: Tensor

    @property
    def size(self) -> int:
        """Bytes of the tensor."""
        return math.prod(self.tensor.shape) * np.dtype(self.tensor.dtype).itemsize


@dataclass(frozen=True, slots=True)
class Layout:
    """Regions by name, and the bytes that they take together."""

    regions: dict[str, Region]
    size: int

    def span(self, names: Mapping[str, Tensor]) -> tuple[int, int]:
        """First offset and size of what covers these regions, which were laid out side by side."""
        regions = [self.regions[name] for name in names]
        start = min(region.offset for region in regions)
        return start, max(region.offset + region.size for region in regions) - start


def lay_out(tensors: Mapping[str, Tensor]) -> Layout:
    """Regions in the given order, each aligned, none overlapping."""
    regions, offset = {}, 0
    for name, tensor in tensors.items():
        regions[name] = Region(offset, tensor)
        offset += -(-regions[name].size // ALIGNMENT) * ALIGNMENT
    return Layout(regions, offset)


def engine_tensors(manifest: Manifest) -> dict[str, Tensor]:
    """All tensors of an engine. Features come first and side by side: one copy brings them over.

    ``token.i`` is a plan's token i, ``position.i`` the constant position of the step to it. The
    cache alternates between ``self_kv.0`` and ``self_kv.1``.
    """
    graphs, tokens = graph_tensors(manifest), manifest.tokenizer.tokens
    step, decode = graphs["step"], graphs["decode"]
    return {
        **graphs["prefill"].inputs,
        **decode.inputs,
        "cross_kv": step.inputs["cross_kv"],
        **{f"self_kv.{index}": step.inputs["self_kv"] for index in range(2)},
        **{f"token.{index}": step.inputs["token"] for index in range(tokens)},
        **{f"position.{index}": step.inputs["position"] for index in range(1, tokens)},
        "decode": decode.outputs["action"],
        "decode_full": graphs["decode_full"].outputs["action"],
    }
