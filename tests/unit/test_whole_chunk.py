"""Where a head would be half over when it is out, the whole chunk is decoded instead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.engines import build_engine
from edge.engines.whole_chunk import WholeChunk, outlasts_the_head
from edge.errors import EngineError
from tests.bundles import plan, random_features, tiny_bundle
from tests.edge_parts import make_manifest


def test_a_decode_gives_all_actions_and_the_same_is_not_decoded_twice(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    plain = build_engine(bundle, "ort", "fp32")
    engine = WholeChunk(build_engine(bundle, "ort", "fp32"))
    for seed in range(5):
        features = random_features(bundle.manifest, seed)
        tokens, decoded = plan(plain, features, 4)
        engine.prefill(features)
        assert [engine.next_token() for _ in range(4)] == tokens
        for prefix in range(1, 5):
            actions = engine.decode(prefix)
            np.testing.assert_array_equal(actions, plain.decode_full(prefix))
            assert engine.decode_full(prefix) is actions
        np.testing.assert_array_equal(engine.decode_full(2), plain.decode_full(2))
        assert len(decoded[-1]) == len(actions)


def test_a_new_plan_forgets_what_the_last_one_decoded(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    engine = WholeChunk(build_engine(bundle, "ort", "fp32"))
    plan(engine, random_features(bundle.manifest, 0), 4)
    engine.prefill(random_features(bundle.manifest, 1))
    with pytest.raises(EngineError, match="prefix"):
        engine.decode_full(4)


def test_a_budget_outlasts_a_head_from_half_of_its_duration_on() -> None:
    manifest = make_manifest()  # 2 steps at 50 Hz
    assert not outlasts_the_head(20_000_000, manifest)
    assert outlasts_the_head(20_000_001, manifest)
