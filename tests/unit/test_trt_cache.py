from __future__ import annotations

import hashlib
import os
import struct
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engines.trt.builder import Plan
from edge.engines.trt.cache import LOCK, PlanCache, default_directory
from edge.engines.trt.plan_file import PlanKey, PlanRejectedError, decode, encode
from edge.errors import EngineError

KEY = PlanKey("tensorrt", "10.3.0", ("sm87",), "CUDA 12060", "int8", "step", "ab" * 32)
PLAN = Plan(b"machine code" * 40, 415, 1.25)
OTHER_PARTS: dict[str, Any] = {
    "flavour": "tensorrt-rtx",
    "version": "10.13.3",
    "compute": ("sm110",),
    "driver": "CUDA 13000",
    "precision": "fp32",
    "graph": "decode",
    "graph_sha256": "cd" * 32,
    "options": ("VERSION_COMPATIBLE",),
}


class Builder:
    """Counts its builds; each plan is another one."""

    def __init__(self) -> None:
        self.builds = 0

    def __call__(self) -> Plan:
        self.builds += 1
        return Plan(PLAN.content + bytes([self.builds]), 415, 1.25)


def never() -> Plan:
    raise AssertionError("built in vain")


def test_a_plan_is_built_once_and_then_read(tmp_path: Path) -> None:
    cache, build = PlanCache(tmp_path / "deep" / "cache"), Builder()
    first = cache.fetch(KEY, build)
    second = PlanCache(cache.directory).fetch(KEY, never)
    assert (first.hit, first.rebuilt_because, second.hit) == (False, "not built yet", True)
    assert second.plan == first.plan
    assert second.file.read_bytes() == encode(KEY, first.plan)


def test_the_parts_of_a_key_are_all_tried() -> None:
    assert set(OTHER_PARTS) == set(KEY.as_dict())


@pytest.mark.parametrize("part", OTHER_PARTS)
def test_another_value_of_any_part_of_the_key_is_a_miss(tmp_path: Path, part: str) -> None:
    cache, build = PlanCache(tmp_path), Builder()
    cache.fetch(KEY, build)
    other = replace(KEY, **{part: OTHER_PARTS[part]})
    miss = cache.fetch(other, build)
    assert build.builds == 2
    assert not miss.hit
    assert cache.fetch(other, never).plan == miss.plan


@pytest.mark.parametrize("part", OTHER_PARTS)
def test_a_plan_moved_to_where_another_belongs_is_rebuilt(tmp_path: Path, part: str) -> None:
    cache, build = PlanCache(tmp_path), Builder()
    other = replace(KEY, **{part: OTHER_PARTS[part]})
    cache.fetch(KEY, build).file.rename(tmp_path / "moved")
    (tmp_path / "moved").rename(cache.file(other))
    assert cache.fetch(other, build).rebuilt_because.startswith(f"built for {part} ")
    assert build.builds == 2


@given(position=st.integers(0, len(encode(KEY, PLAN)) - 1), change=st.integers(1, 255))
def test_every_altered_byte_is_noticed(position: int, change: int) -> None:
    content = bytearray(encode(KEY, PLAN))
    content[position] ^= change
    with pytest.raises(PlanRejectedError):
        decode(bytes(content), KEY)


@given(length=st.integers(0, len(encode(KEY, PLAN)) - 1))
def test_every_truncation_is_noticed(length: int) -> None:
    with pytest.raises(PlanRejectedError):
        decode(encode(KEY, PLAN)[:length], KEY)


@given(content=st.binary(max_size=200))
def test_no_foreign_file_is_a_plan(content: bytes) -> None:
    for candidate in (content, encode(KEY, PLAN)[:8] + content):
        with pytest.raises(PlanRejectedError):
            decode(candidate, KEY)


def test_a_plan_survives_the_file_whole() -> None:
    assert decode(encode(KEY, PLAN), KEY) == PLAN
    assert decode(encode(KEY, replace(PLAN, content=b"")), KEY).content == b""


def test_a_corrupted_plan_is_rebuilt_in_place(tmp_path: Path) -> None:
    cache, build = PlanCache(tmp_path), Builder()
    file = cache.fetch(KEY, build).file
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert cache.fetch(KEY, build).rebuilt_because == "altered or truncated"
    assert cache.fetch(KEY, never).hit


@pytest.mark.parametrize("header", [b"{}", b"[1]", b"\xff", b'{"key": 3, "nodes": 1}', b"{"])
def test_a_header_of_another_format_is_no_plan(header: bytes) -> None:
    body = struct.pack("<I", 10_000) + header
    content = encode(KEY, PLAN)[:8] + hashlib.sha256(body).digest() + body
    with pytest.raises(PlanRejectedError, match="another format"):
        decode(content, KEY)


def test_a_link_in_the_place_of_a_plan_is_not_followed(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path / "cache")
    file = cache.fetch(KEY, Builder()).file
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EngineError, match=r"plan cache: .*choose --cache"):
        cache.fetch(KEY, never)


def test_someone_elses_plan_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, build = PlanCache(tmp_path), Builder()
    file = cache.fetch(KEY, build).file
    if os.geteuid() == 0:
        os.chown(file, 12345, -1)
    else:
        own = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert cache.fetch(KEY, build).rebuilt_because == "the file belongs to another user"


def test_plans_are_for_their_owner_alone(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path / "plans")
    file = cache.fetch(KEY, Builder()).file
    assert cache.directory.stat().st_mode & 0o077 == 0
    assert file.stat().st_mode & 0o077 == 0


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"plan cache: .*file.*choose --cache"):
        PlanCache(tmp_path / "file" / "cache").fetch(KEY, never)


def test_what_cannot_be_written_is_not_built_first(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    cache.file(KEY).with_name(f"{cache.file(KEY).name}.part").mkdir()
    with pytest.raises(EngineError, match=r"plan cache: .*\.part: .*; choose --cache"):
        cache.fetch(KEY, never)


def test_a_failed_build_leaves_nothing_and_frees_the_lock(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)

    def fail() -> Plan:
        raise EngineError("refused")

    with pytest.raises(EngineError, match="refused"):
        cache.fetch(KEY, fail)
    assert [item.name for item in tmp_path.iterdir()] == [LOCK]
    assert not cache.fetch(KEY, Builder()).hit


def test_concurrent_builders_build_once(tmp_path: Path) -> None:
    build, started, results = Builder(), threading.Event(), []
    release = threading.Event()

    def slow_build() -> Plan:
        started.set()
        assert release.wait(20)
        return build()

    def fetch(builder: Any) -> None:
        results.append(PlanCache(tmp_path).fetch(KEY, builder))

    first = threading.Thread(target=fetch, args=(slow_build,))
    first.start()
    assert started.wait(20)
    others = [threading.Thread(target=fetch, args=(build,)) for _ in range(4)]
    for thread in others:
        thread.start()
    release.set()
    for thread in (first, *others):
        thread.join(20)
    assert build.builds == 1
    assert sorted(result.hit for result in results) == [False, True, True, True, True]
    assert len({result.plan.content for result in results}) == 1


def test_the_users_cache_is_where_the_base_directory_specification_puts_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_directory("d1") == Path("/somewhere/oat-edge/plans/d1")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_directory("d1") == Path("/home/someone/.cache/oat-edge/plans/d1")
