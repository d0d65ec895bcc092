"""The precisions that a bundle can have, and how each is made from the FP32 graphs.

fp32          the reference
fp16          strongly typed FP16, FP32 inputs and outputs: for TensorRT
int8          explicit Q/DQ with calibrated ranges, the worst layers kept: TensorRT and CPUs
int8-fp16     the same, and FP16 in the place of FP32 around it: for TensorRT
int8-dynamic  ranges of activations taken as they come: CPUs only
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from calibration.dynamic_int8 import dynamic_int8
from calibration.float16 import EXACT_PRODUCTS, float16
from calibration.half_weights import exact_half_weights, half_weights
from calibration.products import Graphs, layers_of, module_of, nodes_of
from calibration.static_int8 import static_int8

Steps = Mapping[str, float]
"""Quantization step of each layer's input."""

Lower = Callable[[Graphs, Sequence[str], Steps], Graphs]
"""FP32 graphs, the layers to lower, steps → graphs; the other layers keep their accuracy."""


@dataclass(frozen=True)
class Precision:
    """How to lower; whether it needs calibrated ranges, chooses layers, and holds FP16."""

    lower: Lower
    calibrated: bool = False
    mixed: bool = False
    half: bool = False


def _fp32(base: Graphs, layers: Sequence[str], steps: Steps) -> Graphs:
    return {name: exact_half_weights(model) for name, model in base.items()}


def _fp16(base: Graphs, layers: Sequence[str], steps: Steps) -> Graphs:
    whole = set(layers_of(base)) - set(layers)
    return {
        name: float16(model, {*EXACT_PRODUCTS, *nodes_of(name, whole)})
        for name, model in base.items()
    }


def _int8(base: Graphs, layers: Sequence[str], steps: Steps) -> Graphs:
    return {name: half_weights(model) for name, model in _quantized(base, layers, steps).items()}


def _int8_fp16(base: Graphs, layers: Sequence[str], steps: Steps) -> Graphs:
    return {
        name: float16(model, set(EXACT_PRODUCTS) - set(nodes_of(name, layers)))
        for name, model in _quantized(base, layers, steps).items()
    }


def _int8_dynamic(base: Graphs, layers: Sequence[str], steps: Steps) -> Graphs:
    return {name: dynamic_int8(model, nodes_of(name, layers)) for name, model in base.items()}


def _quantized(base: Graphs, layers: Sequence[str], steps: Steps) -> Graphs:
    def scales(name: str) -> dict[str, float]:
        return {node: steps[f"{module_of(name)}/{node}"] for node in nodes_of(name, layers)}

    return {name: static_int8(model, scales(name)) for name, model in base.items()}


PRECISIONS: dict[str, Precision] = {
    "fp32": Precision(_fp32),
    "fp16": Precision(_fp16, half=True),
    "int8": Precision(_int8, calibrated=True, mixed=True),
    "int8-fp16": Precision(_int8_fp16, calibrated=True, mixed=True, half=True),
    "int8-dynamic": Precision(_int8_dynamic),
}
