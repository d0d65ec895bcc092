from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from calibration.export import export_bundle
from edge import bundle as bundles
from edge.commands.benchmarks import device, torch_plain
from edge.commands.benchmarks.contenders import Contender, engine_contender
from edge.commands.benchmarks.inference import observations, report
from edge.commands.benchmarks.timing import Timing
from edge.commands.main import app
from edge.errors import BundleError, EngineError, UsageError
from models import checkpoint as checkpoints
from tests.bundles import LOOSE
from tests.unit.tiny_models import tiny_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoints") / "tiny"
    checkpoints.save(path, tiny_checkpoint())
    return path


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> bundles.Bundle:
    path = tmp_path_factory.mktemp("bundles") / "tiny"
    export_bundle(checkpoint, path, ("fp32", "int8"), parity_observations=2, bounds=LOOSE)
    return bundles.load(path)


@pytest.fixture
def shipped(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_plain, "_checkpoints", lambda: checkpoint.parent)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def invoke(*arguments: object) -> tuple[int, BaseException | None, str]:
    result = CliRunner().invoke(app, ["bench", "inference", *map(str, arguments)])
    return result.exit_code, result.exception, result.stdout


@pytest.mark.usefixtures("shipped")
def test_the_baseline_computes_what_the_engine_computes(bundle: bundles.Bundle) -> None:
    baseline, engine = (
        torch_plain.torch_contender(bundle),
        engine_contender(bundle, "ort", "fp32"),
    )
    assert baseline.facts == {"weights": "shipped"}
    assert (baseline.decoded, engine.decoded) == (8, 8)
    for features in observations(bundle, 3, seed=1):
        for k in (1, 2, 4):
            plain = baseline.plan(features, k)
            assert plain.shape == (8, 3)
            np.testing.assert_allclose(plain, engine.plan(features, k), atol=1e-5)


def test_the_baseline_is_eager_on_one_thread_and_keeps_no_gradients(
    bundle: bundles.Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    import models.generation

    seen: list[tuple[int, bool, bool]] = []
    plain = models.generation.act

    def watched(*arguments: Any, **options: Any) -> Any:
        seen.append((torch.get_num_threads(), torch.is_inference_mode_enabled(), options["plain"]))
        return plain(*arguments, **options)

    monkeypatch.setattr(models.generation, "act", watched)
    torch.set_num_threads(2)
    torch_plain.torch_contender(bundle).plan(observations(bundle, 1, 0)[0], 2)
    assert seen == [(1, True, True)]


def test_without_shipped_weights_the_baseline_has_random_ones(
    bundle: bundles.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_plain, "_checkpoints", lambda: tmp_path)
    assert torch_plain.torch_contender(bundle).facts == {"weights": "random"}
    checkpoints.save(tmp_path / "tiny", tiny_checkpoint(decoder_depth=1))
    other = torch_plain.torch_contender(bundle)
    assert other.facts == {"weights": "random"}, "these weights are of another architecture"


def test_json_has_a_row_for_every_contender_and_prefix(bundle: bundles.Bundle) -> None:
    code, _, output = invoke(bundle.path, "--n", 3, "--json")
    assert code == 0
    result = json.loads(output)
    assert result["bundle"] == {"name": "tiny", "digest": bundle.digest}
    rows = result["rows"]
    who = {(row["engine"], row["precision"], row["decoded"]) for row in rows}
    assert who == {("torch", "fp32", 8)} | {
        (engine, precision, 8) for engine in ("native", "ort") for precision in ("fp32", "int8")
    }
    assert [row["k"] for row in rows] == [1, 2, 4] * 5
    for row in rows:
        assert row["execute"] == 4 and row["n"] == 3
        assert 0 < row["min_us"] <= row["p50_us"] <= row["p99_us"] <= row["max_us"]
        assert ("weights" in row) == (row["engine"] == "torch")
    assert set(result["speedup_p50"]) == {"native", "ort"}
    assert set(result["speedup_p50"]["ort"]) == {"1", "2", "4"}
    assert set(result["speedup_p50"]["ort"]["4"]) == {"fp32", "int8"}
    assert result["device"]["versions"]["onnxruntime"]


def test_the_table_names_the_contenders(bundle: bundles.Bundle) -> None:
    code, _, output = invoke(bundle.path, "--n", 1, "--precisions", "int8")
    assert code == 0
    for word in ("torch", "native", "ort", "int8", "random weights", "p99"):
        assert word in output


def test_speed_up_is_the_ratio_of_the_medians(bundle: bundles.Bundle) -> None:
    def timing(engine: str, precision: str, k: int, *taken_us: int) -> Timing:
        contender = Contender(engine, precision, 4, lambda _features, _k: np.zeros((4, 3)))
        return Timing(contender, k, tuple(1_000 * us for us in taken_us))

    timings = [
        timing("torch", "fp32", 1, 100, 200, 9_000),
        timing("torch", "fp32", 4, 800, 800, 800),
        timing("ort", "fp32", 1, 50, 50, 1),
        timing("ort", "int8", 1, 25, 25, 25),
        timing("ort", "fp32", 4, 100, 100, 100),
    ]
    factors = report(bundle, {}, timings)["speedup_p50"]
    assert factors == {"ort": {"1": {"fp32": 4.0, "int8": 8.0}, "4": {"fp32": 8.0}}}
    assert report(bundle, {}, timings[2:])["speedup_p50"] == {}


def test_without_a_baseline_torch_is_not_needed(
    bundle: bundles.Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "models.generation", None)
    code, _, output = invoke(bundle.path, "--n", 1, "--baseline", "none", "--json")
    assert code == 0
    assert {row["engine"] for row in json.loads(output)["rows"]} == {"native", "ort"}


def test_a_missing_torch_is_named_with_the_extra_that_brings_it(
    bundle: bundles.Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EngineError, match=r"needs torch.*oat-edge\[train\].*--baseline none"):
        torch_plain.torch_contender(bundle)


def test_what_cannot_be_measured_is_named(bundle: bundles.Bundle, tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0)) + 1
    for arguments, kind, complaint in [
        ((bundle.path, "--engines", "ort,abacus"), UsageError, "--engines is 'abacus'"),
        ((bundle.path, "--engines", ","), UsageError, "--engines is ','"),
        ((bundle.path, "--precisions", "int3"), UsageError, "allowed are fp32, int8"),
        ((bundle.path, "--baseline", "jax"), UsageError, "allowed are torch, none"),
        ((bundle.path, "--pin", core), UsageError, f"--pin is {core}, allowed are "),
        ((tmp_path / "absent",), BundleError, "absent"),
    ]:
        _, error, _ = invoke(*arguments)
        assert isinstance(error, kind)
        assert complaint in str(error) and "\n" not in str(error)


def test_an_architecture_that_is_not_ours_is_refused(bundle: bundles.Bundle) -> None:
    for architecture in ({}, {"tokenizer": {"levels": [5], "spin": 1}, "policy": {}}):
        manifest = bundle.manifest.model_copy(
            update={"architecture": architecture, "name": "strange"}
        )
        with pytest.raises(BundleError, match="architecture describes no network of ours"):
            torch_plain.torch_contender(bundles.Bundle(bundle.path, manifest, bundle.digest))


def test_pinning_keeps_the_process_to_one_core() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        device.pin(min(allowed))
        assert os.sched_getaffinity(0) == {min(allowed)}
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("processor\t: 0\nmodel name\t: Fast CPU @ 2: GHz\n", "Fast CPU @ 2: GHz"),
        ("processor\t: 0\nBogoMIPS\t: 62.50\n", None),
        ("model name\t:\n", None),
        (None, None),
    ],
)
def test_the_processor_is_named_where_the_kernel_names_it(
    text: str | None, model: str | None
) -> None:
    assert device.cpu_model(text) == model


def test_device_facts_are_plain_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "PACKAGES", ("numpy", "no-such-package"))
    facts = json.loads(json.dumps(device.device_facts()))
    assert facts["versions"] == {"numpy": np.__version__, "no-such-package": None}
    assert facts["used_cores"] == sorted(os.sched_getaffinity(0))
