"""Every lowered precision that is not for CPUs, through NVIDIA's own parser and builder."""

from __future__ import annotations

import pytest

from calibration.precisions import PRECISIONS
from calibration.products import layers_of
from edge.engines.trt.backend import load_backend
from edge.engines.trt.builder import BuildOptions, build_plan
from tests.needs import require
from tests.unit.wide_models import wide_graphs

KEPT = slice(None, None, 4)  # some layers of every graph


@pytest.mark.parametrize("precision", ["fp16", "int8", "int8-fp16"])
def test_every_lowered_precision_compiles_with_some_layers_kept(precision: str) -> None:
    require("tensorrt_rtx")
    backend, options = load_backend("tensorrt-rtx"), BuildOptions(("sm86",))
    layers = layers_of(wide_graphs())
    steps = dict.fromkeys(layers, 0.05)
    lowered = [layer for layer in layers if layer not in layers[KEPT]]
    graphs = PRECISIONS[precision].lower(wide_graphs(), lowered, steps)
    for graph in ("prefill", "step", "decode"):
        content = graphs[graph].SerializeToString()
        assert build_plan(backend, content, graph, options).nodes > 10
