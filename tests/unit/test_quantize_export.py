"""Static INT8 through the whole export: made, reported, let in or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from calibration import export as export_module
from calibration.export import export_bundle
from calibration.gate import Bounds, GateError
from calibration.products import layers_of
from calibration.workshop import Calibration
from edge import bundle as bundles
from edge.commands.main import app
from edge.errors import RunError
from models import checkpoint as checkpoints
from tests.unit.wide_models import EXAMPLES, wide_checkpoint, wide_graphs

BOUNDS = Bounds(max_action_error_rad=0.06, min_token_agreement=0.9, max_largest_error_rad=1.0)
STRICT = ["--max-action-error-rad", "0", "--min-token-agreement", "1"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wide") / "checkpoint"
    checkpoints.save(folder, wide_checkpoint())
    return folder


@pytest.fixture(scope="module")
def exported(checkpoint: Path) -> Path:
    out = checkpoint.parent / "bundle"
    method = Calibration("percentile", samples=8)
    export_bundle(checkpoint, out, ("fp32", "int8"), bounds=BOUNDS, calibration=method)
    return out


def report(bundle: Path) -> dict[str, Any]:
    return json.loads((bundle / "parity.json").read_text())


def test_a_mixed_precision_meets_the_bounds_and_says_what_it_keeps(exported: Path) -> None:
    layers, figures = layers_of(wide_graphs()), report(exported)["precisions"]["int8"]
    assert min(figures["token_agreement"].values()) >= BOUNDS.min_token_agreement
    for error in figures["action_error_rad"].values():
        assert error["p99"] <= BOUNDS.max_action_error_rad
    assert {row["layer"] for row in figures["sensitivity"]} == set(layers)
    kept = figures["kept_layers"]
    assert set(kept) < set(layers)
    assert figures["lowered_layers"] == len(layers) - len(kept) > 0
    assert report(exported)["gate"]["min_token_agreement"] == 0.9


def test_the_manifest_says_how_ranges_were_calibrated(exported: Path) -> None:
    calibration = bundles.load(exported).manifest.provenance["calibration"]
    assert calibration == {
        "method": "percentile",
        "percentile": 99.99,
        "source": "held-out examples",
        "samples": 8,
        "selection_samples": EXAMPLES,
    }


def test_verify_prints_agreement_and_error_per_precision_and_prefix(exported: Path) -> None:
    result = CliRunner().invoke(app, ["bundle", "verify", str(exported), "--json"])
    rows = json.loads(result.stdout)["parity"]
    assert [(row["precision"], row["k"]) for row in rows] == [
        (precision, k) for precision in ("fp32", "int8") for k in (1, 2, 4)
    ]
    for row in rows:
        assert 0.9 <= row["token_agreement"] <= 1.0
        assert 0.0 <= row["action_error_p99_rad"] <= 0.06


def test_a_precision_that_breaks_a_bound_is_refused_with_its_worst_layer(
    checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(GateError, match=r"^int8-dynamic: .*; (step|prefill|decode)/\S+ hurts most"):
        export_bundle(checkpoint, tmp_path / "out", ("int8-dynamic",), bounds=Bounds(1e-6, 1.0))
    assert not (tmp_path / "out").exists()


def test_the_command_exits_with_1_and_one_line_where_the_gate_refuses(
    checkpoint: Path, tmp_path: Path
) -> None:
    arguments = ["export", str(checkpoint), "--out", str(tmp_path / "out"), *STRICT]
    result = CliRunner().invoke(app, [*arguments, "--precisions", "int8-dynamic"])
    assert result.exit_code == 1
    assert isinstance(result.exception, RunError)
    line = str(result.exception)
    assert line.startswith("export: int8-dynamic: ") and "hurts most" in line
    assert "action error p99" in line
    assert "\n" not in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--max-success-drop", "1"], 2, "needs --episodes"),
        (["--min-token-agreement", "1.5"], 2, "min-token-agreement"),
        (["--calibration", "guess"], 2, "unknown calibration 'guess'"),
        (["--precisions", "int4"], 2, "unknown precision 'int4'"),
        (["--precisions", ","], 2, "at least one"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    checkpoint: Path, tmp_path: Path, options: list[str], code: int, words: str
) -> None:
    result = CliRunner().invoke(
        app, ["export", str(checkpoint), "--out", str(tmp_path / "out"), *options]
    )
    assert result.exit_code == code
    assert words in " ".join(result.stderr.split())


def test_a_place_that_cannot_be_written_is_one_line_before_any_work(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "bundle"

    def never(*arguments: object) -> None:
        raise AssertionError("worked for nothing")

    monkeypatch.setattr(export_module, "build_graphs", never)
    arguments = ["export", str(checkpoint), "--out", str(out), "--precisions", "fp32"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, RunError)
    assert str(tmp_path / "file") in str(result.exception)
