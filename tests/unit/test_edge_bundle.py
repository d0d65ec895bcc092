from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge import bundle as bundles
from edge.bundle import MANIFEST, SEAL
from edge.errors import BundleError
from tests.edge_bundle import CONTENT, write_bundle, write_manifest

VICTIM = "fp32/step.onnx"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def complaint(path: Path) -> str:
    with pytest.raises(BundleError) as error:
        bundles.load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


def test_a_whole_bundle_is_taken_and_its_graphs_are_read(bundle: Path) -> None:
    loaded = bundles.load(bundle)
    assert loaded.graph("fp32", "step") == CONTENT[VICTIM]
    assert loaded.manifest.tokenizer.codes == 60


@pytest.mark.parametrize("name", [*CONTENT, MANIFEST, SEAL])
def test_a_missing_file_is_refused_by_its_name(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    assert name in complaint(bundle)


@pytest.mark.parametrize("name", [*CONTENT, MANIFEST])
def test_a_truncated_file_is_refused_by_its_name(bundle: Path, name: str) -> None:
    content = (bundle / name).read_bytes()
    for length in (0, len(content) // 2, len(content) - 1):
        (bundle / name).write_bytes(content[:length])
        message = complaint(bundle)
        assert name in message
        assert name == MANIFEST or f"{length} bytes, expected {len(content)}" in message


@pytest.mark.parametrize("name", [*CONTENT, MANIFEST])
def test_an_altered_file_is_refused_by_its_name(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    assert name in complaint(bundle)


def test_a_renamed_file_is_refused_by_its_name(bundle: Path) -> None:
    (bundle / VICTIM).rename(bundle / "fp32" / "other.onnx")
    assert "fp32/other.onnx" in complaint(bundle)


@pytest.mark.parametrize("name", ["extra.bin", "fp32/run.py", "deep/er/weights.pkl", ".hidden"])
def test_an_unlisted_file_is_refused_by_its_name(bundle: Path, name: str) -> None:
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).write_bytes(b"x")
    assert f"{name}: not listed" in complaint(bundle)


def test_a_symbolic_link_is_refused_by_its_name_though_its_content_is_right(
    bundle: Path, tmp_path: Path
) -> None:
    shutil.copy(bundle / VICTIM, tmp_path / "elsewhere")
    (bundle / VICTIM).unlink()
    (bundle / VICTIM).symlink_to(tmp_path / "elsewhere")
    assert f"{VICTIM}: leads outside of the bundle" in complaint(bundle)


def test_a_linked_folder_is_refused_by_its_name(bundle: Path, tmp_path: Path) -> None:
    shutil.move(bundle / "fp32", tmp_path / "fp32")
    (bundle / "fp32").symlink_to(tmp_path / "fp32")
    assert "fp32: not listed" in complaint(bundle)
    manifest, _ = bundles.read_manifest(bundle)
    with pytest.raises(BundleError, match=r"step\.onnx: leads outside of the bundle"):
        bundles.read_verified(bundle, VICTIM, manifest.files[VICTIM])


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "fp32/../../outside"])
def test_a_listed_path_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").write_bytes(b"x")
    path = write_bundle(tmp_path / "bundle")
    fields = json.loads((path / MANIFEST).read_bytes())
    fields["files"][name] = bundles.fingerprint(b"x").model_dump()
    write_manifest(path, fields)
    assert f"{name}: leads outside of the bundle" in complaint(path)


def test_a_folder_in_place_of_a_file_is_refused_by_its_name(bundle: Path) -> None:
    (bundle / VICTIM).unlink()
    (bundle / VICTIM).mkdir()
    assert VICTIM in complaint(bundle)


def test_a_pipe_in_place_of_a_file_is_refused_and_never_waited_for(bundle: Path) -> None:
    (bundle / VICTIM).unlink()
    os.mkfifo(bundle / VICTIM)
    assert VICTIM in complaint(bundle)


def test_a_file_that_changes_after_loading_is_refused_when_it_is_used(bundle: Path) -> None:
    loaded = bundles.load(bundle)
    (bundle / VICTIM).write_bytes(b"x" * len(CONTENT[VICTIM]))
    with pytest.raises(BundleError, match=r"step\.onnx: altered"):
        loaded.graph("fp32", "step")


def test_an_unknown_precision_is_refused_with_those_there_are(bundle: Path) -> None:
    with pytest.raises(BundleError, match="no precision 'int4'; it has fp32"):
        bundles.load(bundle).graph("int4", "step")


def test_a_bundle_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "no such directory" in complaint(tmp_path / "none")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 4}, "format_version"),
        ({"weights": "x.pkl"}, "weights"),
        ({"graphs": {}}, "graphs"),
        ({"graphs": {"fp32": {"step": VICTIM}}}, "graphs.fp32 must name exactly prefill, step"),
        ({"n_obs_steps": 0}, "n_obs_steps"),
        ({"observation": []}, "observation"),
        ({"name": "../x"}, "name"),
    ],
)
def test_a_manifest_that_says_something_wrong_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    message = complaint(write_bundle(tmp_path / "bundle", **changes))
    assert f"{MANIFEST}: " in message
    assert words in message


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"[" * 100_000, b"\xff\xfe", b"null"])
def test_a_manifest_that_is_no_object_is_refused(bundle: Path, text: bytes) -> None:
    (bundle / MANIFEST).write_bytes(text)
    (bundle / SEAL).write_bytes(bundles.seal(text))
    assert f"{MANIFEST}: " in complaint(bundle)
