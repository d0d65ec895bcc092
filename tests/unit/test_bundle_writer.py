from __future__ import annotations

from pathlib import Path

import pytest

from calibration.bundle_writer import refuse_to_clobber
from edge.bundle import MANIFEST
from models import directories
from models.directories import require_writable, write_directory

OLD, NEW = {"a": b"old", "sub/b": b"old"}, {"a": b"new", "c": b"new"}


def content(directory: Path) -> dict[str, bytes]:
    files = (p for p in directory.rglob("*") if p.is_file())
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in files}


def test_a_directory_is_written_and_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "bundle"
    write_directory(target, OLD)
    assert content(target) == OLD
    write_directory(target, NEW)
    assert content(target) == NEW
    assert [p.name for p in target.parent.iterdir()] == ["bundle"]


def test_it_is_replaced_on_a_file_system_without_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directories, "_exchange", lambda a, b: False)
    write_directory(tmp_path / "b", OLD)
    write_directory(tmp_path / "b", NEW)
    assert content(tmp_path / "b") == NEW
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "elsewhere" / "bundle"
    link.symlink_to(target)
    for files in (OLD, NEW):  # it dangles at first
        write_directory(link, files)
        assert link.is_symlink()
        assert content(target) == files
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "link"]
    assert [p.name for p in target.parent.iterdir()] == ["bundle"]


def test_what_can_be_written_is_tried_without_a_trace(tmp_path: Path) -> None:
    require_writable(tmp_path / "not" / "yet" / "there")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotADirectoryError, match="file"):
        require_writable(tmp_path / "file" / "bundle")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("writes", range(3))
def test_a_kill_at_any_write_leaves_the_old_directory_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    target = tmp_path / "bundle"
    write_directory(target, OLD)
    done = 0
    original = directories._write_synced

    def write_then_die(path: Path, data: bytes) -> None:
        nonlocal done
        if done == writes:
            path.write_bytes(data[:1])
            raise Killed
        done += 1
        original(path, data)

    def die(building: Path, target: Path) -> None:
        raise Killed

    monkeypatch.setattr(directories, "_write_synced", write_then_die)
    if writes == len(NEW):
        monkeypatch.setattr(directories, "_swap_in", die)
    monkeypatch.setattr(directories.shutil, "rmtree", lambda *args, **kwargs: None)
    with pytest.raises(Killed):
        write_directory(target, NEW)
    assert content(target) == OLD
    monkeypatch.undo()
    write_directory(target, NEW)
    assert content(target) == NEW


def test_something_that_is_no_bundle_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="not a bundle"):
        refuse_to_clobber(tmp_path, overwrite=True)
    with pytest.raises(ValueError, match="not a bundle"):
        refuse_to_clobber(tmp_path / "thesis.txt", overwrite=True)
    assert (tmp_path / "thesis.txt").exists()


def test_a_bundle_needs_permission_and_a_free_path_does_not(tmp_path: Path) -> None:
    refuse_to_clobber(tmp_path / "new", overwrite=False)
    refuse_to_clobber(tmp_path, overwrite=False)
    (tmp_path / MANIFEST).write_text("{}")
    refuse_to_clobber(tmp_path, overwrite=True)
    with pytest.raises(FileExistsError, match="--force"):
        refuse_to_clobber(tmp_path, overwrite=False)
