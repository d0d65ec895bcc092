"""Official checkpoints become bundles that compute what the checkpoints' models compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from calibration.imported import ImportFacts, import_bundle
from edge import bundle as bundles
from edge.bundle import Bundle
from edge.engines import build_engine
from edge.engines.offline import OrtEncoder, build_decoder
from edge.errors import BundleError
from edge.fit import check_fit
from edge.records import request_dtype
from models.generation import generate
from models.official.errors import OfficialCheckpointError
from models.policy import OATPolicy
from models.tokenizer import OATTokenizer
from tests.edge_parts import make_robot
from tests.unit.official_files import (
    policy_cfg,
    policy_weights,
    save,
    tokenizer_cfg,
    tokenizer_weights,
)
from tests.unit.tiny_models import tiny_policy, tiny_tokenizer

NAMES = {"observation.joint_pos": "joint_pos", "observation.cube_pose": "cube_pose"}
FEATURES = {"observation.joint_pos": 3, "observation.cube_pose": 5}
PLAIN = {"conditioned_on_command": False, "clamp": False, "patch": 1}
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "as published": ({}, {}, "pow2"),
    "uniform dropout": ({}, {}, "uniform"),
    "biased dropout": ({}, {}, "pow2_biased"),
    "another dropout": ({}, {}, "triangular"),
    "not causal": ({"causal_decoder": False}, {}, "pow2"),
    "other levels": ({"levels": (7, 6)}, {"codebook_size": 42}, "pow2"),
    "other sizes": (
        {
            "dim": 24,
            "head_dim": 6,
            "encoder_depth": 3,
            "decoder_depth": 1,
            "action_horizon": 12,
            "num_tokens": 5,
            "decoder_dim": 32,
            "decoder_head_dim": 8,
        },
        {"dim": 20, "heads": 5, "layers": 3, "num_tokens": 5, "n_obs_steps": 3},
        "pow2",
    ),
}
Pair = tuple[Path, Path, OATTokenizer, OATPolicy]


def make_pair(folder: Path, variant: str = "as published", **policy_changes: Any) -> Pair:
    """A pair of checkpoints and the models in them."""
    tokenizer_sizes, policy_sizes, dropout = VARIANTS[variant]
    tokenizer = tiny_tokenizer(**PLAIN | tokenizer_sizes)
    policy = tiny_policy(features=FEATURES, **policy_sizes)
    t_cfg = tokenizer_cfg(tokenizer, dropout)
    p_cfg = policy_cfg(policy, NAMES, **policy_changes)
    files = (
        save(folder / "t.ckpt", t_cfg, tokenizer_weights(tokenizer)),
        save(folder / "p.ckpt", p_cfg, policy_weights(policy, tokenizer, NAMES)),
    )
    return *files, tokenizer, policy


@pytest.fixture(scope="module", params=VARIANTS)
def imported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bundle, OATTokenizer, OATPolicy]:
    folder = tmp_path_factory.mktemp("import")
    t_file, p_file, tokenizer, policy = make_pair(folder, request.param)
    import_bundle(t_file, p_file, folder / "bundle", ImportFacts("b"))
    return bundles.load(folder / "bundle"), tokenizer, policy


def test_chunks_become_the_tokens_of_the_checkpoint(
    imported: tuple[Bundle, OATTokenizer, OATPolicy],
) -> None:
    bundle, tokenizer, _ = imported
    encoder = OrtEncoder(bundle)
    torch.manual_seed(5)
    chunks = torch.randn(40, tokenizer.config.action_horizon, 3)
    wanted = tokenizer.encode(chunks)
    assert len(wanted.unique()) > 5
    for chunk, tokens in zip(chunks, wanted, strict=True):
        assert encoder.encode(chunk.numpy()).tolist() == tokens.tolist()


@torch.no_grad()
def test_any_tokens_decode_as_in_the_checkpoint_at_every_length(
    imported: tuple[Bundle, OATTokenizer, OATPolicy],
) -> None:
    bundle, tokenizer, _ = imported
    decoder, config = build_decoder(bundle, "ort", "fp32"), tokenizer.config
    shape = (10, config.num_tokens)
    tokens = torch.from_numpy(np.random.default_rng(3).integers(0, config.codebook_size, shape))
    for k in range(1, config.num_tokens + 1):
        wanted = tokenizer.decode(tokens, k).numpy()
        for row, actions in zip(tokens.tolist(), wanted, strict=True):
            decoder.place(row)
            np.testing.assert_allclose(decoder.decode_full(k), actions, atol=1e-5, rtol=0)
            np.testing.assert_allclose(decoder.decode(k), actions[:1], atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_policy_generates_the_tokens_of_the_checkpoint(
    imported: tuple[Bundle, OATTokenizer, OATPolicy],
) -> None:
    bundle, _, policy = imported
    engine, total = build_engine(bundle, "ort", "fp32"), policy.config.num_tokens
    torch.manual_seed(6)
    steps = policy.config.n_obs_steps
    observation = {key: torch.randn(20, steps, dim) for key, dim in FEATURES.items()}
    record = np.zeros((), request_dtype(bundle.manifest))["features"]
    wanted = generate(policy, observation, total)
    assert len(wanted.unique()) > 2
    for row, tokens in enumerate(wanted.tolist()):
        for key, values in observation.items():
            record[key] = values[row].numpy()
        engine.prefill(record)
        assert [engine.next_token() for _ in range(total)] == tokens


def test_the_manifest_says_what_was_imported(tmp_path: Path) -> None:
    t_file, p_file, _, _ = make_pair(tmp_path)
    facts = ImportFacts(
        "arm",
        rate_hz=20.0,
        unit="m",
        joints=("x", "y", "z"),
        observations={"joint_pos": "observation.state"},
    )
    parity = import_bundle(t_file, p_file, tmp_path / "bundle", facts)
    manifest = bundles.load(tmp_path / "bundle").manifest
    assert [item.key for item in manifest.observation] == [
        "observation.state",
        "observation.cube_pose",
    ]
    assert manifest.action.names == ("x", "y", "z")
    assert (manifest.action.rate_hz, manifest.action.unit) == (20.0, "m")
    assert manifest.action.execution_horizon == 4
    assert manifest.action.clamped is False
    assert manifest.tokenizer.trained_prefixes == (1, 2, 4)
    assert len(manifest.provenance["policy_sha256"]) == 64
    figures = parity["precisions"]["fp32"]
    assert figures["token_agreement"] == {"1": 1.0, "2": 1.0, "4": 1.0}
    assert max(error["max"] for error in figures["action_error_rad"].values()) < 1e-5


def test_without_an_average_the_last_weights_count(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(**PLAIN)
    weights = tokenizer_weights(tokenizer)
    other = {key: value + 1 for key, value in weights.items()}
    cfg = tokenizer_cfg(tokenizer) | {"training": {"use_ema": False}}
    file = save(tmp_path / "t.ckpt", cfg, averaged=other, current=weights)
    import_bundle(file, None, tmp_path / "bundle", ImportFacts("t"))
    decoder = build_decoder(bundles.load(tmp_path / "bundle"), "ort", "fp32")
    decoder.place([1, 2, 3, 4])
    wanted = tokenizer.decode(torch.tensor([[1, 2, 3, 4]]), 3)[0].detach().numpy()
    np.testing.assert_allclose(decoder.decode_full(3), wanted, atol=1e-5)


def test_references_in_the_configuration_are_followed(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(**PLAIN)
    cfg = tokenizer_cfg(tokenizer, sizes={"head": 8}, levels=[5, 4, "${size}"], size=3)
    cfg["tokenizer"]["encoder"]["head_dim"] = "${sizes.head}"
    cfg["tokenizer"]["decoder"]["head_dim"] = "${..encoder.head_dim}"
    cfg["tokenizer"]["quantizer"]["levels"] = "${levels}"
    cfg["somewhere_else"] = "${now:%Y}"
    file = save(tmp_path / "t.ckpt", cfg, tokenizer_weights(tokenizer))
    import_bundle(file, None, tmp_path / "bundle", ImportFacts("t"))
    assert bundles.load(tmp_path / "bundle").manifest.tokenizer.levels == (5, 4, 3)


def test_a_tokenizer_alone_is_a_bundle_that_no_robot_runs(tmp_path: Path) -> None:
    t_file, _, _, _ = make_pair(tmp_path)
    import_bundle(t_file, None, tmp_path / "bundle", ImportFacts("t"))
    bundle = bundles.load(tmp_path / "bundle")
    assert not bundle.manifest.has_policy
    with pytest.raises(BundleError, match="a tokenizer alone, without a policy to run"):
        check_fit(make_robot(), bundle.manifest, bundle.path)
    with pytest.raises(BundleError, match="a tokenizer alone, without a graph 'prefill'"):
        build_engine(bundle, "ort", "fp32")


def drop(key: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda cfg, weights: weights.pop(key)


def put(key: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda cfg, weights: weights.update({key: value})


def configure(path: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(cfg: dict[str, Any], weights: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for key in parents:
            cfg = cfg[key]
        cfg[last] = value

    return change


BAD_TOKENIZERS = {
    "the weights lack encoder.registers": drop("encoder.registers"),
    "encoder.head.proj.bias": drop("encoder.head.proj.bias"),
    "quantizer.project_in": put("quantizer.project_in", torch.zeros(1)),
    "cfg.tokenizer.encoder.head_dim is None": configure("tokenizer.encoder.head_dim", None),
    "head_dim 5 does not divide": configure("tokenizer.encoder.head_dim", 5),
    "head_dim 7 does not divide": configure("tokenizer.decoder.head_dim", 7),
    "levels is [5, 1]": configure("tokenizer.quantizer.levels", [5, 1]),
    "size mismatch": configure("tokenizer.quantizer.levels", [5, 4]),
    "references lead in a circle": configure(
        "tokenizer.quantizer.levels", "${tokenizer.quantizer.levels}"
    ),
    "only plain references": configure("tokenizer.quantizer.levels", "${eval:'[1]'}"),
    "use_causal_decoder is 1": configure("tokenizer.decoder.use_causal_decoder", 1),
    "is no tensor": put("decoder.head.proj.bias", "text"),
}


@pytest.mark.parametrize("words", BAD_TOKENIZERS)
def test_a_tokenizer_that_does_not_fit_is_refused_with_the_reason(
    tmp_path: Path, words: str
) -> None:
    tokenizer = tiny_tokenizer(**PLAIN)
    cfg, weights = tokenizer_cfg(tokenizer), tokenizer_weights(tokenizer)
    BAD_TOKENIZERS[words](cfg, weights)
    file = save(tmp_path / "t.ckpt", cfg, weights, current={})
    with pytest.raises(OfficialCheckpointError) as caught:
        import_bundle(file, None, tmp_path / "bundle", ImportFacts("t"))
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "bundle").exists()


OBS = "policy.obs_encoder.shape_meta.obs"
BAD_POLICIES = {
    "observation 'front' is of type 'rgb'; only policies that see states": configure(
        f"{OBS}.front", {"shape": [3, 84, 84], "type": "rgb"}
    ),
    "cfg names no observations": configure(OBS, {}),
    "the weights lack obs_encoder.normalizer.params_dict.front.scale": configure(
        f"{OBS}.front", {"shape": [3]}
    ),
    "cfg.policy.n_heads is None": configure("policy.n_heads", None),
    "heads 3 does not divide": configure("policy.n_heads", 3),
    "another tokenizer than that given: encoder.registers": put(
        "action_tokenizer.encoder.registers", torch.zeros(4, 16)
    ),
    "it speaks 9 tokens, the tokenizer 60": put("model.tok_emb.weight", torch.zeros(10, 16)),
    "another number of tokens": put("model.tok_pos_emb", torch.zeros(1, 3, 16)),
    "head and token embedding differ": put("model.head.weight", torch.zeros(61, 16)),
    "obs_encoder.vision.conv.weight": put("obs_encoder.vision.conv.weight", torch.zeros(1)),
}


@pytest.mark.parametrize("words", BAD_POLICIES)
def test_a_policy_that_does_not_fit_is_refused_with_the_reason(tmp_path: Path, words: str) -> None:
    t_file, _, tokenizer, policy = make_pair(tmp_path)
    cfg, weights = policy_cfg(policy, NAMES), policy_weights(policy, tokenizer, NAMES)
    BAD_POLICIES[words](cfg, weights)
    file = save(tmp_path / "p.ckpt", cfg, weights, current={})
    with pytest.raises(OfficialCheckpointError) as caught:
        import_bundle(t_file, file, tmp_path / "bundle", ImportFacts("b"))
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")
    assert not (tmp_path / "bundle").exists()


def test_facts_that_do_not_fit_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    t_file, p_file, _, _ = make_pair(tmp_path)
    facts = ImportFacts("b")
    same = {"joint_pos": "observation.x", "cube_pose": "observation.x"}
    for wrong, words in (
        (replace(facts, joints=("a",)), "1 joints are named, the actions have 3"),
        (replace(facts, execution_horizon=9), "execution horizon is 9, allowed is 1 to 8"),
        (replace(facts, rate_hz=0.0), "rate_hz"),
        (replace(facts, name="../b"), "name"),
        (replace(facts, observations={"nothing": "observation.x"}), "'nothing'"),
        (replace(facts, observations=same), "observation.x"),
    ):
        with pytest.raises(ValueError, match=words):
            import_bundle(t_file, p_file, tmp_path / "bundle", wrong)
    assert not (tmp_path / "bundle").exists()
