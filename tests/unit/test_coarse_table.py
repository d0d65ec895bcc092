"""One-token decodes by look-up: the same actions, at no cost; nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.bundle import Bundle
from edge.engines import build_engine
from edge.engines.coarse_table import CoarseTable, with_coarse_table
from edge.errors import EngineError
from edge.latency import LatencyModel, Profile
from edge.planner import Planner
from edge.records import Channels, request_dtype
from edge.session import Session
from tests.bundles import plan, random_features, tiny_bundle
from tests.edge_parts import make_robot

MS = 1_000_000
AGES = 3_600_000 * MS


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("paper"), conditioned_on_command=False)


class DecodeCounter:
    """An engine that counts what it decodes."""

    def __init__(self, bundle: Bundle) -> None:
        self._engine = build_engine(bundle, "ort", "fp32")
        self.prefill, self.next_token = self._engine.prefill, self._engine.next_token
        self.place, self.decode_full = self._engine.place, self._engine.decode_full
        self.decodes: list[int] = []

    def decode(self, prefix: int) -> np.ndarray:
        self.decodes.append(prefix)
        return self._engine.decode(prefix)


def test_a_plan_through_the_table_equals_one_without_it(bundle: Bundle) -> None:
    plain, table = (build_engine(bundle, "ort", "fp32") for _ in range(2))
    table = with_coarse_table(table, bundle.manifest)
    assert isinstance(table, CoarseTable)
    firsts = set()
    for seed in range(20):
        features = random_features(bundle.manifest, seed)
        wanted, got = plan(plain, features, 4), plan(table, features, 4)
        assert got[0] == wanted[0]
        firsts.add(got[0][0])
        for ours, theirs in zip(got[1], wanted[1], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert len(firsts) > 1


def test_every_code_is_in_the_table(bundle: Bundle) -> None:
    plain = build_engine(bundle, "ort", "fp32")
    table = CoarseTable(build_engine(bundle, "ort", "fp32"), bundle.manifest)
    for code in range(bundle.manifest.tokenizer.codes):
        plain.place([code, 7])
        table.place([code, 7])
        np.testing.assert_array_equal(table.decode(1), plain.decode(1))
        np.testing.assert_array_equal(table.decode(2), plain.decode(2))


def test_one_token_costs_no_decode(bundle: Bundle) -> None:
    counter = DecodeCounter(bundle)
    table = CoarseTable(counter, bundle.manifest)
    counter.decodes.clear()
    table.prefill(random_features(bundle.manifest, 0))
    table.next_token()
    table.decode(1)
    assert counter.decodes == []
    table.next_token()
    table.decode(1)
    table.decode(2)
    assert counter.decodes == [2]


def test_before_the_first_token_there_is_nothing_to_look_up(bundle: Bundle) -> None:
    table = CoarseTable(build_engine(bundle, "ort", "fp32"), bundle.manifest)
    for _ in range(2):
        table.prefill(random_features(bundle.manifest, 0))
        with pytest.raises(EngineError, match="prefix is 1, allowed is 1 to 0"):
            table.decode(1)
        table.next_token()
        table.decode(1)


@pytest.mark.parametrize("variant", [{}, {"observes": True}], ids=["conditioned", "observed"])
def test_a_conditioned_decoder_has_no_table(variant: dict[str, bool], tmp_path: Path) -> None:
    conditioned = tiny_bundle(tmp_path, **variant)
    engine = build_engine(conditioned, "ort", "fp32")
    assert with_coarse_table(engine, conditioned.manifest) is engine


def test_the_coarse_chunk_goes_ahead_and_its_look_up_teaches_no_speed(
    bundle: Bundle, tmp_path: Path
) -> None:
    engine = CoarseTable(build_engine(bundle, "ort", "fp32"), bundle.manifest)
    session = Session(directory=tmp_path, robot=make_robot(), bundle=tmp_path, seed=0)
    channels = Channels.open(session, bundle.manifest, create=True)
    model = LatencyModel(Profile(MS, (MS,) * 4, AGES, (AGES,) * 4))  # no decode seems affordable
    planner = Planner(engine, bundle.manifest, channels, model, clock=lambda: 1)
    request = np.zeros((), request_dtype(bundle.manifest))
    request["plan"], request["deadline_ns"] = 1, 10 * MS
    planner.answer(request)
    (record,) = channels.plans.drain()
    assert record["prefix"] == 1
    assert record["late"] == 0
    assert model.factor == 1.0
