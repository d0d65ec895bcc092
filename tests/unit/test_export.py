from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession

from calibration.dynamic_int8 import dynamic_int8
from calibration.encoder_graph import build_encode
from calibration.export import export_bundle
from calibration.graphs import build_graphs
from calibration.products import large_products
from calibration.session import GraphModel, GraphPolicy
from edge import bundle as bundles
from models import checkpoint as checkpoints
from models.checkpoint import Checkpoint
from models.generation import act, generate
from tests.bundles import LOOSE
from tests.unit.tiny_models import observations, tiny_checkpoint, tiny_policy, tiny_tokenizer

VARIANTS: dict[str, dict[str, Any]] = {
    "conditioned": {},
    "paper": {"conditioned_on_command": False},
    "uniform": {"nested_dropout": "uniform", "levels": (3, 4, 5)},
    "not causal": {"causal_decoder": False},
    "observed": {"observes": True},
    "observed, unclamped": {"observes": True, "clamp": False, "causal_decoder": False},
    "unclamped": {"clamp": False, "decoder_dim": 24, "decoder_head_dim": 12, "patch": 1},
}


def row(checkpoint: Checkpoint, index: int) -> dict[str, torch.Tensor]:
    return {key: value[index : index + 1] for key, value in checkpoint.examples.items()}


def numpy(observation: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {key: value.numpy() for key, value in observation.items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_graphs_compute_what_torch_computes(variant: str) -> None:
    checkpoint = tiny_checkpoint(**VARIANTS[variant])
    graphs = build_graphs(checkpoint.tokenizer, checkpoint.policy, 4)
    model, cropped = GraphModel(graphs), GraphModel({**graphs, "decode_full": graphs["decode"]})
    for index in range(6):
        observation = row(checkpoint, index)
        tokens = generate(checkpoint.policy, observation, 4)
        assert model.generate(numpy(observation), 4).tolist() == tokens.tolist()
        for prefix in range(5):
            actions = checkpoint.tokenizer.decode(tokens, prefix, observation)[0].detach().numpy()
            full = model.decode(tokens.numpy(), prefix, numpy(observation))
            executed = cropped.decode(tokens.numpy(), prefix, numpy(observation))
            np.testing.assert_allclose(full, actions, atol=2e-5)
            np.testing.assert_allclose(executed, actions[:4], atol=2e-5)


def test_what_lies_in_the_cache_after_the_position_is_ignored() -> None:
    checkpoint = tiny_checkpoint()
    model = GraphModel(build_graphs(checkpoint.tokenizer, checkpoint.policy, 4))
    graphs = model._graphs
    begun = graphs["prefill"].run(numpy(row(checkpoint, 0)))
    inputs = {"token": begun["next_token"], "position": np.array([1])}
    inputs["cross_kv"] = begun["cross_kv"]
    outputs = []
    for filler in (0.0, 50.0):
        cache = begun["self_kv_next"].copy()
        cache[..., 1:, :] = filler
        outputs.append(graphs["step"].run({**inputs, "self_kv": cache}))
    assert outputs[0]["next_token"] == outputs[1]["next_token"]
    first, second = (output["self_kv_next"] for output in outputs)
    np.testing.assert_array_equal(first[..., :2, :], second[..., :2, :])
    np.testing.assert_array_equal(second[..., 2:, :], 50.0)


def test_dynamic_int8_quantizes_the_large_products_alone() -> None:
    policy, tokenizer = tiny_policy(dim=64, heads=2), tiny_tokenizer()
    model = build_graphs(tokenizer, policy, 4)["step"]
    wanted = large_products(model)
    quantized = dynamic_int8(model, wanted)
    assert len(wanted) > 0
    assert sum(n.op_type == "MatMulInteger" for n in quantized.graph.node) == len(wanted)
    small = build_graphs(tokenizer, tiny_policy(), 4)["decode"]
    assert large_products(small) == []
    assert dynamic_int8(small, []) is small


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_encoder_graph_makes_the_tokens_that_torch_makes(variant: str) -> None:
    tokenizer = tiny_tokenizer(**VARIANTS[variant])
    session = InferenceSession(build_encode(tokenizer).SerializeToString())
    torch.manual_seed(3)
    seen = observations(50)
    chunks = seen["observation.command"][:, -1:] + 0.3 * torch.randn(50, 8, 3)
    tokens = tokenizer.encode(chunks, seen)
    assert len(tokens.unique()) > 5
    known = seen | {"chunks": chunks, "command": seen["observation.command"][:, -1]}
    for row, wanted in enumerate(tokens):
        inputs = {i.name: known[i.name][row : row + 1].numpy() for i in session.get_inputs()}
        assert session.run(None, inputs)[0].tolist() == [wanted.tolist()]


def test_an_unclamped_decoder_leaves_the_range_that_a_clamped_one_keeps() -> None:
    tokens, largest = torch.tensor([[7, 7, 7, 7]]), []
    for clamp in (False, True):
        tokenizer = tiny_tokenizer(clamp=clamp, conditioned_on_command=False)
        graphs = build_graphs(tokenizer, tiny_policy(), 4)
        action = GraphModel(graphs).decode(tokens.numpy(), 4, {})
        np.testing.assert_allclose(action, tokenizer.decode(tokens, 4)[0].detach(), atol=2e-5)
        largest.append(np.abs(tokenizer.normalizer(torch.from_numpy(action)).numpy()).max())
    assert largest[1] == pytest.approx(1.0, abs=1e-5)
    assert largest[0] > 1.01


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    checkpoints.save(folder / "checkpoint", tiny_checkpoint())
    export_bundle(folder / "checkpoint", folder / "bundle", bounds=LOOSE)
    return folder


def test_an_exported_bundle_is_whole_and_says_how_near_it_is(exported: Path) -> None:
    bundle = bundles.load(exported / "bundle")
    assert set(bundle.manifest.graphs) == {"fp32", "fp16", "int8"}
    assert bundle.manifest.caches.self_ == (2, 2, 1, 2, 4, 8)
    assert bundle.manifest.tokenizer.trained_prefixes == (1, 2, 4)
    assert bundle.manifest.action.minimum == pytest.approx((-1.0, -2.0, 0.1))
    parity = json.loads((exported / "bundle" / "parity.json").read_text())
    assert parity["observations"] == 6
    assert parity["precisions"]["fp32"]["token_agreement"] == {"1": 1.0, "2": 1.0, "4": 1.0}
    assert parity["precisions"]["fp32"]["action_error_rad"]["4"]["max"] < 2e-5


def test_the_same_checkpoint_exports_to_the_same_bytes(exported: Path) -> None:
    export_bundle(exported / "checkpoint", exported / "again", bounds=LOOSE)
    digests = [bundles.load(exported / name).digest for name in ("bundle", "again")]
    assert digests[0] == digests[1]


def test_the_graphs_act_as_a_policy(exported: Path) -> None:
    checkpoint = checkpoints.load(exported / "checkpoint")
    graphs = build_graphs(checkpoint.tokenizer, checkpoint.policy, 4)
    policy = GraphPolicy(GraphModel(graphs), prefix=2)
    observation = row(checkpoint, 3)
    actions = act(checkpoint.tokenizer, checkpoint.policy, observation, 2)[0]
    ours = policy({key: value[0].numpy() for key, value in observation.items()})
    np.testing.assert_allclose(ours, actions.numpy(), atol=2e-5)


def test_an_existing_bundle_is_only_replaced_on_request(exported: Path) -> None:
    with pytest.raises(FileExistsError, match="--force"):
        export_bundle(exported / "checkpoint", exported / "bundle")
    export_bundle(exported / "checkpoint", exported / "bundle", overwrite=True, bounds=LOOSE)


def test_an_unknown_precision_is_refused_with_the_known_ones(exported: Path) -> None:
    with pytest.raises(ValueError, match="'fp8'; known: fp32, fp16, int8, int8-fp16, int8-dynamic"):
        export_bundle(exported / "checkpoint", exported / "new", precisions=("fp8",))
    assert not (exported / "new").exists()
