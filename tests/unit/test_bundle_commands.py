"""``oat-edge bundle``, as a person types it."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge import bundle as bundles
from edge.bundle import MANIFEST, SIGNATURE
from edge.commands.main import app
from edge.errors import BundleError, UsageError
from edge.manifest import Manifest
from tests.edge_bundle import CONTENT, write_bundle, write_manifest
from tests.needs import require

PARITY = {
    "observations": 6,
    "precisions": {
        "fp32": {
            "token_agreement": {"1": 1.0, "4": 0.5},
            "action_error_rad": {"1": {"p99": 1e-7, "max": 2e-7}, "4": {"p99": 3e-7, "max": 4e-7}},
            "closed_loop": {"4": {"successes": 9, "episodes": 10}},
            "layers": ["a"],
        }
    },
}
FP32_AT_4 = {
    "precision": "fp32",
    "k": 4,
    "token_agreement": 0.5,
    "action_error_p99_rad": 3e-7,
    "action_error_max_rad": 4e-7,
    "successes": 9,
    "episodes": 10,
}


def with_report(folder: Path, report: Any = PARITY) -> Path:
    """The small bundle, with a parity report in it."""
    path = write_bundle(folder)
    text = json.dumps(report).encode()
    fields = json.loads((path / MANIFEST).read_bytes())
    fields["files"]["parity.json"] = bundles.fingerprint(text).model_dump()
    (path / "parity.json").write_bytes(text)
    write_manifest(path, fields)
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return with_report(tmp_path / "bundle")


def run(*arguments: object, code: int = 0, typed: str | None = None) -> str:
    result = CliRunner().invoke(app, ["bundle", *map(str, arguments)], input=typed)
    if code and result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


def key_pair(folder: Path, name: str = "maker", *options: str, typed: str | None = None) -> Path:
    require("cryptography")
    run("keygen", folder / f"{name}.pem", *options, typed=typed)
    return folder / f"{name}.pem"


def test_verify_reports_every_figure_by_precision_and_prefix(bundle: Path) -> None:
    report = json.loads(run("verify", bundle, "--json"))
    assert report["ok"] is True
    assert report["hashes"] == "ok"
    assert report["signature"] == "unsigned"
    assert report["digest"] == bundles.load(bundle).digest
    assert [row["k"] for row in report["parity"]] == [1, 4]
    assert report["parity"][1] == FP32_AT_4


def test_verify_refuses_by_name_and_says_so_in_json_too(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle / "fp32/step.onnx").write_bytes(b"x")
    result = CliRunner().invoke(app, ["bundle", "verify", str(bundle), "--json"])
    assert isinstance(result.exception, BundleError)
    assert result.exception.exit_code == 1
    refusal = json.loads(result.stdout)
    assert refusal["ok"] is False
    assert refusal["file"] == "fp32/step.onnx"
    assert refusal["error"] == str(result.exception)


WORDY = {"precisions": {"fp32": {"token_agreement": {"1": "all"}}}}
WORDY_STATISTIC = {"precisions": {"fp32": {"action_error_rad": {"1": {"p99": "small"}}}}}


@pytest.mark.parametrize(
    "report",
    [[], {"precisions": 3}, {"precisions": {"fp32": 3}}, {}, WORDY, WORDY_STATISTIC],
)
def test_a_report_of_another_shape_is_refused_by_name(tmp_path: Path, report: Any) -> None:
    with pytest.raises(BundleError, match=r"parity\.json: not a parity report"):
        run("verify", with_report(tmp_path / "b", report), "--json", code=1)


def test_show_prints_joints_graphs_and_parity(bundle: Path) -> None:
    text = run("show", bundle)
    for word in ("waist", "gripper", "decode_full", "observation.command", "fp32", "3e-07"):
        assert word in text
    assert json.loads(run("show", bundle, "--json"))["parity"][1] == FP32_AT_4


def test_show_draws_the_report(bundle: Path, tmp_path: Path) -> None:
    run("show", bundle, "--plot", tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="--plot"):
        run("show", bundle, "--plot", tmp_path / "p.nonsense", code=2)


def test_a_signed_bundle_is_trusted_by_whoever_has_the_key(bundle: Path, tmp_path: Path) -> None:
    key = key_pair(tmp_path)
    run("sign", bundle, "--key", key)
    assert json.loads(run("verify", bundle, "--json"))["signature"] == "untrusted"
    public = key.with_suffix(".pub.pem")
    assert json.loads(run("verify", bundle, "--json", "--key", public))["signature"] == "trusted"
    other = key_pair(tmp_path, "other").with_suffix(".pub.pem")
    with pytest.raises(BundleError, match=r"manifest\.sig: by .* not among the keys"):
        run("verify", bundle, "--key", other, code=1)
    both = json.loads(run("verify", bundle, "--json", "--key", other, "--key", public))
    assert both["signature"] == "trusted"


def test_keygen_prints_the_key_as_a_robot_takes_it(bundle: Path, tmp_path: Path) -> None:
    require("cryptography")
    printed = run("keygen", tmp_path / "k.pem").strip()
    run("sign", bundle, "--key", tmp_path / "k.pem")
    assert json.loads(run("verify", bundle, "--json", "--key", printed))["signature"] == "trusted"
    assert stat.S_IMODE((tmp_path / "k.pem").stat().st_mode) == 0o600


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    key = key_pair(tmp_path)
    before = key.read_bytes()
    with pytest.raises(UsageError, match=r"maker\.pem: File exists"):
        run("keygen", key, code=2)
    assert key.read_bytes() == before


def test_an_encrypted_key_wants_its_passphrase(bundle: Path, tmp_path: Path) -> None:
    key = key_pair(tmp_path, "safe", "--encrypt", typed="open sesame\nopen sesame\n")
    assert b"ENCRYPTED" in key.read_bytes()
    with pytest.raises(UsageError, match="wrong passphrase"):
        run("sign", bundle, "--key", key, code=2, typed="sesame\n")
    assert not (bundle / SIGNATURE).exists()
    run("sign", bundle, "--key", key, typed="open sesame\n")
    assert (bundle / SIGNATURE).exists()


def test_only_a_whole_bundle_is_signed(bundle: Path, tmp_path: Path) -> None:
    key = key_pair(tmp_path)
    (bundle / "fp32/step.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"fp32/step\.onnx"):
        run("sign", bundle, "--key", key, code=1)
    assert not (bundle / SIGNATURE).exists()


def test_a_public_key_signs_nothing(bundle: Path, tmp_path: Path) -> None:
    public = key_pair(tmp_path).with_suffix(".pub.pem")
    with pytest.raises(UsageError, match="not a PEM file of a private key"):
        run("sign", bundle, "--key", public, code=2)


def test_signing_leaves_nothing_beside_the_bundle_whether_it_succeeds_or_fails(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = key_pair(tmp_path)
    run("sign", bundle, "--key", key)
    before = (bundle / SIGNATURE).read_bytes()
    beside = {path.name for path in tmp_path.iterdir()}

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("calibration.signing.os.fsync", full)
    with pytest.raises(BundleError, match="No space left"):
        run("sign", bundle, "--key", key_pair(tmp_path, "other"), code=1)
    assert (bundle / SIGNATURE).read_bytes() == before
    now = {path.name for path in tmp_path.iterdir()}
    assert now == beside | {"other.pem", "other.pub.pem"}


def test_the_signature_is_one_that_other_tools_verify(bundle: Path, tmp_path: Path) -> None:
    serialization = require("cryptography.hazmat.primitives.serialization")
    from edge.signature import Signature

    key = key_pair(tmp_path)
    run("sign", bundle, "--key", key)
    public = serialization.load_pem_public_key(key.with_suffix(".pub.pem").read_bytes())
    signature = Signature.decode((bundle / SIGNATURE).read_bytes())
    public.verify(signature.value, (bundle / MANIFEST).read_bytes())


def test_equal_bundles_have_no_difference_and_a_signature_is_one(
    bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(bundle, tmp_path / "copy")
    assert run("diff", bundle, tmp_path / "copy", "--exit-code").endswith("\nno difference\n")
    run("sign", tmp_path / "copy", "--key", key_pair(tmp_path))
    assert set(json.loads(run("diff", bundle, tmp_path / "copy", "--json"))) == {
        "same",
        "signature",
    }


def test_differences_are_named_by_field_graph_file_and_figure(bundle: Path, tmp_path: Path) -> None:
    report = json.loads(json.dumps(PARITY))
    report["precisions"]["fp32"]["token_agreement"]["4"] = 0.25
    other = with_report(tmp_path / "other", report)
    fields = json.loads((other / MANIFEST).read_bytes())
    fields["action"]["execution_horizon"] = 2
    content = b"another step"
    fields["files"]["fp32/step.onnx"] = bundles.fingerprint(content).model_dump()
    (other / "fp32/step.onnx").write_bytes(content)
    write_manifest(other, fields)
    found = json.loads(run("diff", bundle, other, "--json"))
    assert found["same"] is False
    assert found["manifest"] == {"action.execution_horizon": [4, 2]}
    assert set(found["graphs"]) == {"fp32.step"}
    assert found["graphs"]["fp32.step"][0].startswith(f"{len(CONTENT['fp32/step.onnx'])} bytes")
    assert set(found["files"]) == {"parity.json"}
    assert found["parity"] == {"fp32 k=4 token_agreement": [0.5, 0.25]}
    assert "execution_horizon" in run("diff", bundle, other, "--exit-code", code=1)


@pytest.mark.parametrize(
    ("version", "advice"), [(4, "update oat-edge"), (2, "export the checkpoint again")]
)
def test_another_format_is_refused_with_both_versions_whatever_else_is_in_it(
    bundle: Path, version: int, advice: str
) -> None:
    fields = json.loads((bundle / MANIFEST).read_bytes())
    write_manifest(bundle, {"format_version": version, "graphs": None, "news": fields})
    wanted = f"format_version is {version}, this oat-edge reads 3: {advice}"
    with pytest.raises(BundleError, match=wanted):
        bundles.load(bundle)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 5000, "", ".", "a\nb"])
def test_no_name_of_a_file_crashes_the_loader(bundle: Path, name: str) -> None:
    fields = json.loads((bundle / MANIFEST).read_bytes())
    fields["files"][name] = {"sha256": "0" * 64, "bytes": 1}
    write_manifest(bundle, fields)
    with pytest.raises(BundleError) as error:
        bundles.load(bundle)
    assert "\n" not in str(error.value)
    str(error.value).encode("utf-8")


@pytest.mark.parametrize("name", [MANIFEST, SIGNATURE])
def test_a_manifest_cannot_list_itself_or_its_signature(bundle: Path, name: str) -> None:
    fields = json.loads((bundle / MANIFEST).read_bytes())
    fields["files"][name] = {"sha256": "0" * 64, "bytes": 1}
    with pytest.raises(ValueError, match="cannot list itself"):
        Manifest.model_validate(fields)
