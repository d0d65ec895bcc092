"""The virtual machine of ``make socketcan``, as far as it goes without one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.socketcan import initramfs, machine, packages


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1), ("1", 1)])
def test_what_cannot_be_had_is_a_skip_with_its_reason_and_in_ci_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: str, status: int
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(packages.shutil, "which", lambda tool: None)
    assert machine.main() == status
    reason = "qemu-system-x86_64 is not installed (Debian package qemu-system-x86)"
    assert capsys.readouterr().out == f"skipped: {reason}\n"


def test_a_kernel_that_is_cached_serves_where_apt_offers_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OAT_EDGE_VM_CACHE", str(tmp_path))
    monkeypatch.setattr(
        packages.shutil, "which", lambda tool: None if tool == "apt-cache" else tool
    )
    with pytest.raises(packages.NotAvailableError, match="apt offers no linux-image-amd64"):
        packages.unpacked()
    (tmp_path / "linux-image-6.1.0-1-amd64").mkdir()
    assert packages.unpacked() == tmp_path / "linux-image-6.1.0-1-amd64"


@pytest.mark.parametrize(
    ("console", "status"),
    [
        ("dots ...\nexit status 0\n[   9.1] reboot: Power down\n", 0),
        ("exit status 1\n", 1),
        ("exit status 0\nkernel panic\n" + "trace\n" * 5, 1),  # said by whom?
        ("", 1),
    ],
)
def test_the_machines_verdict_is_its_last_word(
    capsys: pytest.CaptureFixture[str], console: str, status: int
) -> None:
    say = [sys.executable, "-c", f"print({console!r}, end='')"]
    assert machine.show(say) == status
    assert capsys.readouterr().out == console


def module(folder: Path, name: str, depends: str) -> None:
    text = f"\x7fELF\0license=GPL\0depends={depends}\0name={name}\0"
    (folder / f"{name}.ko").write_bytes(text.encode())


def test_modules_are_loaded_after_what_they_depend_on(tmp_path: Path) -> None:
    module(tmp_path, "can-raw", "can")
    module(tmp_path, "can", "")
    module(tmp_path, "kvaser_pci", "can-dev,sja1000")
    module(tmp_path, "sja1000", "can-dev")
    module(tmp_path, "can-dev", "")
    order = initramfs.load_order(tmp_path, ["can_raw", "kvaser_pci", "can"])
    assert [path.stem for path in order] == ["can", "can-raw", "can-dev", "sja1000", "kvaser_pci"]


def test_the_archive_is_whole_records_that_end_with_the_trailer(tmp_path: Path) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"\x7fELF!")
    archive = initramfs.build(busybox, [], "#!/bin/sh\n", "pytest\n")
    found: dict[str, bytes] = {}
    at = 0
    while at < len(archive):
        header = archive[at : at + 110]
        assert header[:6] == b"070701"
        size, name_size = int(header[54:62], 16), int(header[94:102], 16)
        name = archive[at + 110 : at + 110 + name_size]
        at = -(-(at + 110 + name_size) // 4) * 4
        found[name.rstrip(b"\0").decode()] = archive[at : at + size]
        at = -(-(at + size) // 4) * 4
    assert list(found)[-1] == "TRAILER!!!"
    assert found["bin/busybox"] == b"\x7fELF!" and found["bin/sh"] == b"busybox"
    assert (found["init"], found["command"]) == (b"#!/bin/sh\n", b"pytest\n")
