"""What every ``Engine`` promises, for each engine and precision, against the trained model."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edge.bundle import GRAPHS, Bundle
from edge.engines import Engine, Float32Array, build_engine
from edge.engines.tensors import condition_tensors
from edge.errors import EngineError
from edge.shared_memory import Record
from models.generation import generate
from tests.bundles import plan, random_features, wide_bundle
from tests.contract.engine_builders import Builder, needing, on_gpu, ort_with_resident_caches
from tests.needs import require
from tests.unit.trt_doubles import engine_on_host
from tests.unit.wide_models import wide_checkpoint

VARIANTS = {
    "conditioned": {},
    "paper": {"conditioned_on_command": False},
    "observed": {"observes": True},
}
BUILDERS: dict[str, Builder] = {  # one line an engine
    "native": lambda bundle, precision: build_engine(bundle, "native", precision),
    "ort": lambda bundle, precision: build_engine(bundle, "ort", precision),
    "ort-resident": ort_with_resident_caches,
    "openvino": needing("openvino"),
    "auto": lambda bundle, precision: build_engine(bundle, "auto", precision),
    "tensorrt-wiring": lambda bundle, precision: engine_on_host(bundle, precision)[0],
}
GPU_ENGINES = ("tensorrt", "tensorrt-rtx", "ort-cuda")
ON_GPU: dict[str, Builder] = {name: on_gpu(name) for name in GPU_ENGINES}
TOLERANCE_RAD = {"fp32": 5e-5, "fp16": 0.02, "int8": 0.2}  # joints move by up to 2.5 rad
LEAST_AGREEMENT = {"fp32": 1.0, "fp16": 0.95, "int8": 0.8}  # the models are untrained
SEEDS = range(10)


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """Once for all engines, in whatever order they come."""
    return {
        variant: wide_bundle(tmp_path_factory.mktemp(variant), **changes)
        for variant, changes in VARIANTS.items()
    }


@pytest.fixture(scope="module")
def bundle(variant: str, exported: dict[str, Bundle]) -> Bundle:
    return exported[variant]


@pytest.fixture(scope="module", params=TOLERANCE_RAD)
def precision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(
    scope="module",
    params=[*BUILDERS, *(pytest.param(name, marks=pytest.mark.gpu) for name in ON_GPU)],
)
def engine(request: pytest.FixtureRequest, bundle: Bundle, precision: str) -> Engine:
    return (BUILDERS | ON_GPU)[request.param](bundle, precision)


def features_of(bundle: Bundle, seed: int) -> Record:
    return random_features(bundle.manifest, seed)


def condition_of(bundle: Bundle, features: Record) -> dict[str, Float32Array]:
    """What the decoder reads besides tokens, of an observation."""
    of_features = {key: features[key].copy() for key in features.dtype.names or ()}
    known = of_features | {"command": features["observation.command"][-1].copy()}
    return {name: known[name] for name in condition_tensors(bundle.manifest)}


def test_tokens_and_actions_are_those_of_the_trained_model(
    engine: Engine, bundle: Bundle, variant: str, precision: str
) -> None:
    torch = require("torch")
    checkpoint, tolerance = wide_checkpoint(**VARIANTS[variant]), TOLERANCE_RAD[precision]
    equal = []
    for seed in SEEDS:
        features = features_of(bundle, seed)
        observation = {
            key: torch.tensor(features[key][None].copy()) for key in features.dtype.names
        }
        wanted = generate(checkpoint.policy, observation, 4)
        tokens, _ = plan(engine, features, 4)
        equal += [one == other for one, other in zip(tokens, wanted[0].tolist(), strict=True)]
        engine.place(wanted[0].tolist(), condition_of(bundle, features))
        for prefix in range(1, 5):
            full = checkpoint.tokenizer.decode(wanted, prefix, observation)[0].detach().numpy()
            np.testing.assert_allclose(engine.decode(prefix), full[:1], atol=tolerance)
            np.testing.assert_allclose(engine.decode_full(prefix), full, atol=tolerance)
    assert np.mean(equal) >= LEAST_AGREEMENT[precision]


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_graphs_are_really_of_their_precision(bundle: Bundle, graph: str) -> None:
    operators, kinds = {}, {}
    for precision in TOLERANCE_RAD:
        model = onnx.load_from_string(bundle.graph(precision, graph)).graph
        operators[precision] = [node.op_type for node in model.node]
        kinds[precision] = {tensor.data_type for tensor in model.initializer}
    assert operators["int8"].count("QuantizeLinear") >= 3
    assert onnx.TensorProto.INT8 in kinds["int8"]
    assert onnx.TensorProto.FLOAT16 in kinds["fp16"]
    assert operators["fp16"].count("Cast") > operators["fp32"].count("Cast")


def test_the_head_is_the_first_actions_of_all(
    engine: Engine, bundle: Bundle, precision: str
) -> None:
    for seed in SEEDS:
        plan(engine, features_of(bundle, seed), 4)
        for prefix in range(1, 5):
            head = engine.decode(prefix).copy()
            assert head.shape == (1, 3)
            full = engine.decode_full(prefix)
            assert full.shape == (8, 3)
            np.testing.assert_allclose(head, full[:1], atol=TOLERANCE_RAD[precision] / 5)


def test_a_prefix_beyond_the_generated_tokens_is_refused(engine: Engine, bundle: Bundle) -> None:
    engine.prefill(features_of(bundle, 0))
    for generated in range(4):
        for prefix in (0, -1, generated + 1, 99):
            with pytest.raises(EngineError, match="prefix"):
                engine.decode(prefix)
            with pytest.raises(EngineError, match="prefix"):
                engine.decode_full(prefix)
        engine.next_token()


def test_a_token_past_the_last_is_refused_and_the_plan_still_decodes(
    engine: Engine, bundle: Bundle
) -> None:
    _, actions = plan(engine, features_of(bundle, 1), 4)
    with pytest.raises(EngineError, match="all 4 tokens"):
        engine.next_token()
    np.testing.assert_array_equal(engine.decode(4), actions[3])


def test_a_plan_depends_on_nothing_that_was_before_it(engine: Engine, bundle: Bundle) -> None:
    first = plan(engine, features_of(bundle, 2), 4)
    plan(engine, features_of(bundle, 3), 4)
    engine.prefill(features_of(bundle, 4))  # and one that was broken off after two tokens
    engine.next_token()
    engine.next_token()
    again = plan(engine, features_of(bundle, 2), 4)
    assert first[0] == again[0]
    for one, other in zip(first[1], again[1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_decoding_between_tokens_changes_no_token(engine: Engine, bundle: Bundle) -> None:
    features = features_of(bundle, 5)
    tokens, _ = plan(engine, features, 4)
    engine.prefill(features)
    assert [engine.next_token() for _ in range(4)] == tokens


def test_what_the_caller_does_to_its_observation_later_changes_nothing(
    engine: Engine, bundle: Bundle
) -> None:
    features = features_of(bundle, 6)
    _, actions = plan(engine, features, 4)
    engine.prefill(features)
    for key in features.dtype.names or ():
        features[key] = np.nan
    for _ in range(4):
        engine.next_token()
    np.testing.assert_array_equal(engine.decode(4), actions[3])


def test_tokens_that_are_placed_decode_as_those_that_were_generated(
    engine: Engine, bundle: Bundle
) -> None:
    features = features_of(bundle, 7)
    tokens, actions = plan(engine, features, 4)
    condition = condition_of(bundle, features)
    plan(engine, features_of(bundle, 8), 4)
    for prefix in range(1, 5):
        engine.place(tokens[:prefix], condition)
        np.testing.assert_array_equal(engine.decode(prefix), actions[prefix - 1])
    np.testing.assert_array_equal(engine.decode_full(4), actions[4])


def test_no_token_follows_placed_ones_and_the_next_plan_is_as_ever(
    engine: Engine, bundle: Bundle
) -> None:
    features = features_of(bundle, 9)
    tokens, actions = plan(engine, features, 4)
    engine.place([5, 0], condition_of(bundle, features))
    with pytest.raises(EngineError, match="all 2 tokens"):
        engine.next_token()
    with pytest.raises(EngineError, match="prefix is 3, allowed is 1 to 2"):
        engine.decode(3)
    again = plan(engine, features, 4)
    assert again[0] == tokens
    np.testing.assert_array_equal(again[1][4], actions[4])


def test_what_is_no_token_is_never_placed(engine: Engine, bundle: Bundle) -> None:
    condition = condition_of(bundle, features_of(bundle, 0))
    for tokens, words in (
        ([60], "token 0 is 60, allowed is 0 to 59"),
        ([3, -1], "token 1 is -1"),
        ([], "0 tokens, allowed are 1 to 4"),
        ([1] * 5, "5 tokens"),
    ):
        with pytest.raises(EngineError, match=words):
            engine.place(tokens, condition)
    for wrong in ({}, {"command": np.zeros(2, np.float32)}, {"observation": np.zeros(3)}):
        if condition or wrong:
            with pytest.raises(EngineError, match="besides tokens"):
                engine.place([1], wrong)


def test_an_engine_that_does_not_exist_is_refused_with_those_that_do(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="no engine 'abacus'; there are native"):
        build_engine(bundle, "abacus", "fp32")
