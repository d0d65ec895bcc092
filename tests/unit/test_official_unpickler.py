"""Checkpoints are read as data: whatever else stands in one is refused and never runs."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.official.archive import read_archive
from models.official.checkpoint import open_checkpoint
from models.official.errors import OfficialCheckpointError
from tests.unit.official_files import save, tokenizer_cfg, tokenizer_weights
from tests.unit.tiny_models import tiny_tokenizer


class Foreign:
    """Code that leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


class Trap:
    """A class whose state is set by code of its own."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __setstate__(self, state: dict[str, Any]) -> None:
        state["trace"].mkdir()


def complaint(path: Path) -> str:
    with pytest.raises(OfficialCheckpointError) as caught:
        open_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


def rewritten(path: Path, change: Callable[[bytes], bytes], compression: int = 0) -> Path:
    """The archive with its pickle changed."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, change(content) if name.endswith("/data.pkl") else content)
    return path


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    tokenizer = tiny_tokenizer(conditioned_on_command=False)
    return save(tmp_path / "t.ckpt", tokenizer_cfg(tokenizer), tokenizer_weights(tokenizer))


def test_containers_and_tensors_are_read_as_they_were_saved(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    content = {
        "views": [base, base[1:3, ::2], base.T],
        "kinds": {str(t): torch.ones(3, dtype=t) for t in (torch.float16, torch.int64, torch.bool)},
        "parameter": torch.nn.Parameter(torch.tensor([1.5])),
        "empty": torch.zeros(0),
        "plain": (1, 2.5, "x", None, True, b"\x00\xff", {"a": [1]}),
    }
    torch.save(content, tmp_path / "f.ckpt")
    read = read_archive(tmp_path / "f.ckpt")
    for one, other in zip(read["views"], content["views"], strict=True):
        torch.testing.assert_close(one, other)
    for kind, tensor in content["kinds"].items():
        torch.testing.assert_close(read["kinds"][kind], tensor)
    assert read["parameter"].tolist() == [1.5]
    assert read["empty"].shape == (0,)
    assert read["plain"] == content["plain"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Foreign, f"{os.mkdir.__module__}.mkdir"), (Trap, f"{Trap.__module__}.Trap")],
)
def test_a_foreign_class_is_refused_by_name_and_its_code_does_not_run(
    tmp_path: Path, kind: type, name: str
) -> None:
    proof, trace = tmp_path / "proof", tmp_path / "trace"
    pickle.loads(pickle.dumps(kind(proof)))
    assert proof.exists()  # so a pickle that is trusted does run it
    torch.save({"cfg": kind(trace), "state_dicts": {}}, tmp_path / "f.ckpt")
    assert f"it holds a {name};" in complaint(tmp_path / "f.ckpt")
    assert not trace.exists()


def test_a_pickle_within_the_pickle_is_never_opened(whole: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    bomb = pickle.dumps(Foreign(trace))
    tokenizer = tiny_tokenizer(conditioned_on_command=False)
    weights = tokenizer_weights(tokenizer)
    cfg = tokenizer_cfg(tokenizer, note=bomb)
    assert open_checkpoint(save(whole, cfg, weights)).config.get("note") == bomb
    assert not trace.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("omegaconf.nodes", "os.system"),
        ("models.official.unpickler", "pickle"),
        ("collections", "OrderedDict.fromkeys"),
    ],
)
def test_a_name_that_only_looks_like_a_known_one_is_refused(
    whole: Path, module: str, name: str
) -> None:
    parts = [b"\x80\x04"]
    for text in (module, name):
        parts.append(b"\x8c" + bytes([len(text)]) + text.encode())
    rewritten(whole, lambda _: b"".join([*parts, b"\x93."]))
    assert f"it holds a {module}.{name};" in complaint(whole)


def test_every_allowed_name_makes_nothing_but_data(whole: Path) -> None:
    from models.official import unpickler

    for name, known in unpickler._KNOWN.items():
        assert getattr(known, "__module__", "").startswith("models.official"), name


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x80\x02}r" + struct.pack("<I", 1 << 31) + b".", "memo index 2147483648"),
        (b"\x80\x02\x82\x01.", "opcode EXT1"),
        (b"\x80\x02Px\n.", "opcode PERSID"),
        (b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"x.", "malformed pickle"),
        (b"\x80\x02}", "malformed pickle"),
        (b"\x80\x02).", "it holds no state_dicts"),
        (b"", "malformed pickle"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "malformed pickle"),
        (b"\x80\x02ccollections\nOrderedDict\n}b.", "malformed pickle"),
        (b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".", "it holds no state_dicts"),
    ],
)
def test_a_hostile_pickle_is_one_clear_refusal(whole: Path, content: bytes, words: str) -> None:
    assert words in complaint(rewritten(whole, lambda _: content))


def test_a_tensor_is_never_larger_than_its_storage(tmp_path: Path) -> None:
    small = torch.zeros(4)
    torch.save({"x": small.as_strided((1 << 40,), (0,))}, tmp_path / "f.ckpt")
    with pytest.raises(OfficialCheckpointError, match="in 4 elements"):
        read_archive(tmp_path / "f.ckpt")


def test_a_configuration_that_unfolds_without_end_is_refused(tmp_path: Path) -> None:
    level: Any = ["x"] * 10
    for _ in range(12):
        level = [level] * 10
    torch.save({"cfg": level, "state_dicts": {}}, tmp_path / "f.ckpt")
    assert "more than 100000 nodes" in complaint(tmp_path / "f.ckpt")


def test_a_configuration_that_holds_itself_is_refused(tmp_path: Path) -> None:
    cfg: dict[str, Any] = {}
    cfg["self"] = [cfg]
    torch.save({"cfg": cfg, "state_dicts": {}}, tmp_path / "f.ckpt")
    assert "cfg is nested without end" in complaint(tmp_path / "f.ckpt")


def test_a_compressed_archive_is_refused_before_it_is_unpacked(whole: Path) -> None:
    rewritten(whole, lambda content: content, zipfile.ZIP_DEFLATED)
    assert "is compressed" in complaint(whole)


def test_what_is_no_such_archive_is_refused(whole: Path, tmp_path: Path) -> None:
    content = whole.read_bytes()
    for bad in (b"", b"\x80\x02}q\x00.", content[: len(content) // 2]):
        whole.write_bytes(bad)
        assert "as torch.save writes it" in complaint(whole)
    assert "No such file" in complaint(tmp_path / "none.ckpt")


def test_a_missing_storage_is_named(whole: Path) -> None:
    with zipfile.ZipFile(whole) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in files.items():
            if not name.endswith("/data/7"):
                archive.writestr(name, content)
    assert "it lacks data/7" in complaint(whole)
