"""The scan and the choice of layers, on products that are spoilt on purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from calibration.gate import Bounds
from calibration.parity import Reference, compare, reference
from calibration.products import Graphs, layers_of, nodes_of
from calibration.sensitivity import Damage, Lower, choose_kept, scan, worst
from calibration.session import GraphModel
from tests.unit.wide_models import examples, wide_checkpoint, wide_graphs

WORST = "step/blocks.1.mlp.c_proj"
SPOILT = {WORST: 3.0, "prefill/cross_attn.kv_proj": 0.8, "decode/layers.1.linear2": 0.5}


@pytest.fixture(scope="module")
def truth() -> Reference:
    return reference(wide_checkpoint(), examples())


@pytest.fixture(scope="module")
def damages(truth: Reference) -> list[Damage]:
    return scan(layers_of(wide_graphs()), spoil(SPOILT), truth)


def spoil(spoilt: Mapping[str, float]) -> Lower:
    """Lowering adds noise, relative to the weights, to some layers and nothing to the others."""

    def lower(layers: Sequence[str]) -> Graphs:
        graphs = {}
        for name, model in wide_graphs().items():
            copy = onnx.ModelProto()
            copy.CopyFrom(model)
            graphs[name] = copy
            for layer in set(layers) & set(spoilt):
                for node in nodes_of(name, [layer]):
                    _add_noise(copy, node, spoilt[layer])
        return graphs

    return lower


def _add_noise(model: onnx.ModelProto, node_name: str, relative: float) -> None:
    (weight,) = (n.input[1] for n in model.graph.node if n.name == node_name)
    (tensor,) = (t for t in model.graph.initializer if t.name == weight)
    values = numpy_helper.to_array(tensor)
    noise = np.random.default_rng(0).normal(size=values.shape) * values.std() * relative
    tensor.CopyFrom(numpy_helper.from_array((values + noise).astype(np.float32), weight))


def test_the_scan_finds_what_was_spoilt_and_nothing_else(damages: list[Damage]) -> None:
    assert sorted(damage.layer for damage in damages) == sorted(layers_of(wide_graphs()))
    hurt = {d.layer for d in damages if d.tokens_flipped > 0 or d.action_error_p99_rad > 1e-4}
    assert hurt == set(SPOILT)
    policy = [damage for damage in damages if not damage.of_decoder]
    flipped = [damage.tokens_flipped for damage in policy]
    assert flipped == sorted(flipped, reverse=True)
    assert damages[len(policy)].layer == "decode/layers.1.linear2"


def test_the_worst_layers_are_kept_until_the_bounds_are_met_and_no_more(
    truth: Reference, damages: list[Damage]
) -> None:
    lower, layers = spoil(SPOILT), layers_of(wide_graphs())
    assert set(choose_kept(damages, lower, truth, Bounds(1e-4, 1.0))) == set(SPOILT)
    assert choose_kept(damages, lower, truth, Bounds(1e3, 0.0, max_largest_error_rad=1e3)) == []
    kept = choose_kept(damages, lower, truth, Bounds(1e3, 1.0, max_largest_error_rad=1e3))
    assert set(kept) == {WORST, "prefill/cross_attn.kv_proj"}
    model = GraphModel(lower([layer for layer in layers if layer not in kept]))
    assert set(compare(model, truth)["token_agreement"].values()) == {1.0}


def test_everything_is_kept_where_nothing_else_will_do(truth: Reference) -> None:
    layers = layers_of(wide_graphs())
    damages, lower = [Damage(layer) for layer in layers], spoil(dict.fromkeys(layers, 2.0))
    assert set(choose_kept(damages, lower, truth, Bounds(0.0, 1.0))) == set(layers)


def test_the_worst_layer_is_weighed_by_what_the_bounds_allow() -> None:
    head, decoder = Damage("step/head", 0.03), Damage("decode/actions", 0.0, 0.02)
    assert worst([head, decoder], Bounds(0.01, 0.97)) is decoder
    assert worst([head, decoder], Bounds(0.1, 0.97)) is head
    assert worst([], Bounds()) is None


def test_agreement_is_counted_free_forced_and_whole(truth: Reference) -> None:
    layers = layers_of(wide_graphs())
    exact = compare(GraphModel(spoil({})(layers)), truth)
    for metric in ("token_agreement", "token_agreement_forced", "whole_prefix_agreement"):
        assert exact[metric] == {"1": 1.0, "2": 1.0, "4": 1.0}
    rough = compare(GraphModel(spoil({"prefill/cross_attn.kv_proj": 0.8})(layers)), truth)
    for k in ("1", "2", "4"):
        assert rough["whole_prefix_agreement"][k] <= rough["token_agreement"][k]
    assert rough["token_agreement"]["4"] < rough["token_agreement_forced"]["4"]
