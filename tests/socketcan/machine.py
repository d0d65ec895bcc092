"""Runs a command on Debian's stock kernel in QEMU, with this machine's files read-only.

The machine has a virtual CAN interface (``oat-vcan0``), two Kvaser controllers on one wire
(``oat-can0``, ``oat-can1``), and an FTDI serial adapter whose far end is the port ``oat.far``. Its
own QEMU monitor is the port ``oat.qmp``, so that a test can pull its own plugs.

    python -m tests.socketcan.machine [pytest arguments]
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from tests.socketcan import initramfs, packages

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 1500
MODULES = (
    *("virtio_pci", "9pnet_virtio", "9p", "virtio_console"),
    *("can_raw", "vcan", "slcan", "kvaser_pci"),
    *("xhci_pci", "ftdi_sio"),
)
EXIT_PATTERN = re.compile(r"^exit status (\d+)\s*$", re.MULTILINE)
SUITE = (
    "tests/socketcan",
    "tests/contract/test_every_protocol.py",
    "tests/contract/test_oatlink_bus.py",
)
SELECTION = ("-k", "socketcan or usb")


def run(command: str, tree: Path) -> int:
    """Boot, run a shell ``command`` in the guest, show its console; returns its exit status.

    Returns 1 when the machine ends without saying one, or does not end.
    """
    (modules,) = (tree / "lib/modules").iterdir()
    init = Path(__file__).with_name("init.sh").read_text()
    archive = initramfs.build(
        tree / "bin/busybox", initramfs.load_order(modules, MODULES), init, command
    )
    (kernel,) = (tree / "boot").glob("vmlinuz-*")
    with tempfile.TemporaryDirectory(prefix="oat-vm-") as directory:
        image = Path(directory) / "initramfs"
        image.write_bytes(archive)
        return show(_qemu(kernel, image, Path(directory)))


def _qemu(kernel: Path, image: Path, directory: Path) -> list[str]:
    """The machine. Its clock counts instructions: on a busy host nothing in it comes too late."""
    return [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot"),
        *("-machine", "q35", "-accel", "tcg", "-icount", "shift=1", "-cpu", "max"),
        *("-m", "768", "-display", "none", "-serial", "stdio", "-net", "none"),
        *("-kernel", str(kernel), "-initrd", str(image)),
        *("-append", "console=ttyS0 quiet panic=-1"),
        *("-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"),
        *("-object", "can-bus,id=wire"),
        *("-device", "kvaser_pci,canbus=wire", "-device", "kvaser_pci,canbus=wire"),
        *("-device", "qemu-xhci", "-device", "virtio-serial"),
        *_joined("far", directory),
        *("-device", "usb-serial,id=adapter,chardev=far,serial=OAT0001"),
        *_joined("qmp", directory),
        *("-mon", "chardev=qmp,mode=control"),
    ]


def _joined(name: str, directory: Path) -> list[str]:
    """Two character devices that are each other's far end, one of them a port of the guest."""
    socket = directory / name
    return [
        *("-chardev", f"socket,id={name},path={socket},server=on,wait=off"),
        *("-chardev", f"socket,id={name}-port,path={socket}"),
        *("-device", f"virtserialport,chardev={name}-port,name=oat.{name}"),
    ]


def show(command: list[str]) -> int:
    """Run a machine, show its console, return the exit status that it ends with (else 1)."""
    console: list[str] = []
    with subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        patience = threading.Timer(TIMEOUT_S, process.kill)
        patience.start()
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            console.append(line)
        patience.cancel()
    found = EXIT_PATTERN.search("".join(console[-3:]))
    return int(found.group(1)) if found else 1


def guest_command(arguments: list[str]) -> str:
    """The shell command that runs pytest from this checkout with this interpreter."""
    pytest = ["-m", "pytest", "-p", "no:cacheprovider", "--color=no", *arguments]
    words = ["env", "PYTHONDONTWRITEBYTECODE=1", sys.executable, *pytest]
    return f"cd {shlex.quote(str(ROOT))} && {shlex.join(words)}\n"


def main() -> int:
    """Run the suite; where that is impossible say why, which in CI is a failure."""
    try:
        tree = packages.unpacked()
    except packages.NotAvailableError as reason:
        sys.stdout.write(f"skipped: {reason}\n")
        return 1 if os.environ.get("CI", "").lower() in ("1", "true") else 0
    return run(guest_command(sys.argv[1:] or [*SUITE, *SELECTION]), tree)


if __name__ == "__main__":
    sys.exit(main())
