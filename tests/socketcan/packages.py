"""Debian's stock kernel and a shell, downloaded once into a folder and unpacked, not installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

KERNEL_META = "linux-image-amd64"  # depends on the kernel that is current
SHELL = "busybox-static"
TOOLS = {"qemu-system-x86_64": "qemu-system-x86", "dpkg-deb": "dpkg", "ip": "iproute2"}
DOWNLOAD_TIMEOUT_S = 300
KERNEL_PATTERN = re.compile(r"Depends: (linux-image-\d\S+-amd64)")


class NotAvailableError(Exception):
    """This machine cannot have what the virtual machine needs; the message says what."""


def unpacked() -> Path:
    """A tree with ``boot/vmlinuz-*``, ``lib/modules/*`` and ``bin/busybox``, cached between runs.

    The folder is ``$OAT_EDGE_VM_CACHE`` or ``~/.cache/oat-edge/vm``; a newer kernel replaces the
    one that lies there. Raises ``NotAvailableError``.
    """
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise NotAvailableError(f"{tool} is not installed (Debian package {package})")
    folder = Path(os.environ.get("OAT_EDGE_VM_CACHE") or Path.home() / ".cache/oat-edge/vm")
    kernel = _kernel_package(folder)
    tree = folder / kernel
    if not tree.is_dir():
        _fetch(folder, kernel)
    return tree


def _kernel_package(folder: Path) -> str:
    """The current kernel as apt names it, else the one that is cached already."""
    if shutil.which("apt-cache"):
        listed = _run(["apt-cache", "depends", KERNEL_META], folder.parent)
        if found := KERNEL_PATTERN.search(listed):
            return found.group(1)
    cached = sorted(path.name for path in folder.glob("linux-image-*-amd64"))
    if not cached:
        raise NotAvailableError(f"apt offers no {KERNEL_META} and none lies in {folder}")
    return cached[-1]


def _fetch(folder: Path, kernel: str) -> None:
    partial = folder / f"{kernel}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _run(["apt-get", "download", "-q", kernel, SHELL], partial)
    for package in partial.glob("*.deb"):
        _run(["dpkg-deb", "--extract", package.name, "."], partial)
        package.unlink()
    for old in folder.glob("linux-image-*-amd64"):
        shutil.rmtree(old)
    partial.rename(folder / kernel)


def _run(command: list[str], directory: Path) -> str:
    directory.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise NotAvailableError(f"{' '.join(command)} does not end") from error
    if done.returncode:
        reason = (done.stderr.strip() or "it says nothing").splitlines()[-1]
        raise NotAvailableError(f"{' '.join(command)} failed: {reason}")
    return done.stdout
