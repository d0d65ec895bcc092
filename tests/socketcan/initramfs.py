"""What the kernel finds in memory when it starts: a shell, some modules, ``init`` and a command."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_IFDIR, S_IFLNK, S_IFREG

DEPENDS_PATTERN = re.compile(rb"\0depends=([^\0]*)\0")
APPLETS = ("chroot", "insmod", "mkdir", "mount", "poweroff", "sh")
TRAILER = "TRAILER!!!"


def load_order(modules: Path, wanted: Iterable[str]) -> list[Path]:
    """The files of the modules ``wanted`` and of all that they depend on, dependencies first."""
    files = {path.stem.replace("-", "_"): path for path in modules.rglob("*.ko")}
    order: dict[str, Path] = {}

    def add(name: str) -> None:
        name = name.replace("-", "_")
        if name in order:
            return
        found = DEPENDS_PATTERN.search(files[name].read_bytes())
        for dependency in (found.group(1).decode() if found else "").split(","):
            if dependency:
                add(dependency)
        order[name] = files[name]

    for name in wanted:
        add(name)
    return list(order.values())


def build(busybox: Path, modules: list[Path], init: str, command: str) -> bytes:
    """A cpio archive ("newc", as the kernel's initramfs documentation describes it)."""
    entries = [
        *((name, S_IFDIR | 0o755, b"") for name in ("bin", "dev", "host", "modules", "proc")),
        ("bin/busybox", S_IFREG | 0o755, busybox.read_bytes()),
        *((f"bin/{name}", S_IFLNK | 0o777, b"busybox") for name in APPLETS),
        *((f"modules/{path.name}", S_IFREG | 0o644, path.read_bytes()) for path in modules),
        ("modules/order", S_IFREG | 0o644, "".join(f"{path.name}\n" for path in modules).encode()),
        ("init", S_IFREG | 0o755, init.encode()),
        ("command", S_IFREG | 0o755, command.encode()),
        (TRAILER, 0, b""),
    ]
    return b"".join(_records(entries))


def _records(entries: Iterable[tuple[str, int, bytes]]) -> Iterator[bytes]:
    for number, (name, mode, data) in enumerate(entries, start=1):
        terminated = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(terminated), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        yield _padded(header + terminated)
        yield _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
