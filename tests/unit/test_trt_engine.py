from __future__ import annotations

import numpy as np
import pytest

from edge.bundle import GRAPHS, Bundle
from edge.engines.ort import OrtEngine
from edge.engines.tensors import Tensor, graph_tensors
from edge.engines.trt.buffers import ALIGNMENT, engine_tensors, lay_out
from edge.engines.trt.engine import TensorRTEngine
from edge.errors import EngineError
from tests.bundles import plan, random_features, tiny_bundle
from tests.unit.trt_doubles import HostDevice, OrtProgram, engine_on_host

VARIANTS = {
    "conditioned": {},
    "paper": {"conditioned_on_command": False},
    "observed": {"observes": True},
}


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS.keys())
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle")
    return tiny_bundle(folder, **request.param)


def test_its_wiring_computes_what_onnxruntime_computes(bundle: Bundle) -> None:
    engine, _ = engine_on_host(bundle)
    reference = OrtEngine(bundle, "fp32")
    for seed in range(5):
        features = random_features(bundle.manifest, seed)
        tokens, actions = plan(engine, features, 4)
        expected_tokens, expected_actions = plan(reference, features, 4)
        assert tokens == expected_tokens
        for ours, theirs in zip(actions, expected_actions, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_plan_that_was_cut_short_leaves_no_trace_in_the_next(bundle: Bundle) -> None:
    engine, _ = engine_on_host(bundle)
    features = random_features(bundle.manifest, 3)
    whole = plan(engine, features, 4)
    plan(engine, random_features(bundle.manifest, 4), 2)
    again = plan(engine, features, 4)
    assert again[0] == whole[0]
    np.testing.assert_array_equal(again[1][-1], whole[1][-1])


def test_a_token_costs_eight_bytes_over_the_bus_and_a_step_no_more(bundle: Bundle) -> None:
    engine, device = engine_on_host(bundle)
    assert device.graphs == 1 + 3 + 2
    engine.prefill(random_features(bundle.manifest, 0))
    before = device.copied
    engine.next_token()
    assert device.copied == before, "it came with the pass over the observation"
    engine.next_token()
    assert device.copied - before == 8


def test_it_refuses_what_no_plan_has(bundle: Bundle) -> None:
    engine, _ = engine_on_host(bundle)
    engine.prefill(random_features(bundle.manifest, 0))
    with pytest.raises(EngineError, match="prefix is 1, allowed is 1 to 0"):
        engine.decode(1)
    for _ in range(4):
        engine.next_token()
    with pytest.raises(EngineError, match="all 4 tokens"):
        engine.next_token()
    with pytest.raises(EngineError, match="prefix is 0"):
        engine.decode_full(0)


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_program_of_another_shape_is_refused_by_name(bundle: Bundle, graph: str) -> None:
    programs = {name: OrtProgram(bundle, "fp32", name) for name in GRAPHS}
    name = next(iter(programs[graph].outputs))
    programs[graph].outputs = {**programs[graph].outputs, name: Tensor((1, 99))}
    with pytest.raises(EngineError, match=rf"graph {graph}: outputs are .*{name} float32\[1, 99\]"):
        TensorRTEngine(bundle.manifest, programs, HostDevice())


def test_every_region_is_aligned_and_none_overlaps(bundle: Bundle) -> None:
    tensors = engine_tensors(bundle.manifest)
    layout = lay_out(tensors)
    end = 0
    for region in layout.regions.values():
        assert region.offset % ALIGNMENT == 0
        assert region.offset >= end
        end = region.offset + region.size
    assert end <= layout.size
    features = graph_tensors(bundle.manifest)["prefill"].inputs
    start, size = layout.span(features)
    inside = [n for n, r in layout.regions.items() if start <= r.offset < start + size]
    assert inside == list(features)
