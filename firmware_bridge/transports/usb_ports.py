"""Which USB adapter is behind a tty, whatever name it has at the moment.

Read from sysfs, so no udev is needed: Documentation/ABI/stable/sysfs-bus-usb (``idVendor``,
``serial``), testing/sysfs-bus-usb (``bInterfaceNumber``) and drivers/usb/serial/bus.c
(``port_number``).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

SYSFS = Path("/sys")
DEVICES = Path("/dev")


class UsbPort(NamedTuple):
    """One port of one adapter. An adapter without a serial number cannot be told from another."""

    serial_number: str
    interface: str  # of an adapter that has several
    number: str  # of an interface that has several ports


def usb_port_behind(path: str, sysfs: Path = SYSFS) -> UsbPort | None:
    """The port behind a tty (or a link to one); None if that is no adapter with a serial number."""
    try:
        name = Path(path).resolve().name
        folder = (sysfs / "class/tty" / name / "device").resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a link that leads to itself
        return None
    serial_number = _first(folder, "serial", beside="idVendor")
    if not serial_number:
        return None
    return UsbPort(serial_number, _first(folder, "bInterfaceNumber"), _first(folder, "port_number"))


def _first(folder: Path, name: str, beside: str = "") -> str:
    """A file of the nearest device at or above ``folder`` that has it (or ``beside``), or ""."""
    for device in (folder, *folder.parents):
        if (device / (beside or name)).is_file():
            try:
                return (device / name).read_text(errors="replace").strip()
            except OSError:
                return ""
    return ""


def path_of(port: UsbPort, sysfs: Path = SYSFS) -> str | None:
    """Where a port is now; None if it is nowhere, or if two adapters share its serial number."""
    ttys = (entry.parent.name for entry in (sysfs / "class/tty").glob("tty*/device"))
    found = [name for name in ttys if usb_port_behind(name, sysfs) == port]
    return str(DEVICES / found[0]) if len(found) == 1 else None
