"""USB adapters by serial number, in a tree as the kernel shows it for ftdi_sio and cdc_acm."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_bridge.errors import PortError
from firmware_bridge.transports import serial_port, usb_ports
from firmware_bridge.transports.serial_port import SerialPort
from firmware_bridge.transports.usb_ports import UsbPort, path_of, usb_port_behind


class Sysfs:
    """A directory in place of /sys."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "class/tty").mkdir(parents=True)

    def plug(
        self, tty: str, serial_number: str | None, interface: str = "00", port: str | None = "0"
    ) -> None:
        """``port`` None: a tty that belongs to the interface itself, as cdc_acm makes them."""
        usb = self.root / "devices/pci0000:00" / f"usb-of-{tty}"
        folder = usb / f"1-1:1.{interface}"
        folder.mkdir(parents=True)
        (usb / "idVendor").write_text("0403\n")
        if serial_number is not None:
            (usb / "serial").write_text(f"{serial_number}\n")
        (folder / "bInterfaceNumber").write_text(f"{interface}\n")
        if port is not None:
            folder = folder / tty
            folder.mkdir()
            (folder / "port_number").write_text(f"{port}\n")
        self._announce(tty, folder)

    def solder(self, tty: str) -> None:
        """A UART that is no USB device."""
        folder = self.root / "devices/pnp0/00:01"
        folder.mkdir(parents=True)
        self._announce(tty, folder)

    def _announce(self, tty: str, folder: Path) -> None:
        entry = self.root / "class/tty" / tty
        entry.mkdir()
        (entry / "device").symlink_to(folder)

    def unplug(self, tty: str) -> None:
        (self.root / "class/tty" / tty / "device").unlink()
        (self.root / "class/tty" / tty).rmdir()


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    return Sysfs(tmp_path)


def test_an_adapter_is_known_by_its_serial_number(sysfs: Sysfs) -> None:
    sysfs.plug("ttyUSB0", "FT1")
    sysfs.plug("ttyACM0", "U2D2", port=None)
    assert usb_port_behind("/dev/ttyUSB0", sysfs.root) == UsbPort("FT1", "00", "0")
    assert usb_port_behind("/dev/ttyACM0", sysfs.root) == UsbPort("U2D2", "00", "")


def test_a_link_is_followed_to_its_tty(sysfs: Sysfs, tmp_path: Path) -> None:
    sysfs.plug("ttyUSB3", "FT1")
    (tmp_path / "by-name").symlink_to("/dev/ttyUSB3")
    assert usb_port_behind(str(tmp_path / "by-name"), sysfs.root) == UsbPort("FT1", "00", "0")


def test_what_has_no_serial_number_is_nobody(sysfs: Sysfs, tmp_path: Path) -> None:
    sysfs.plug("ttyUSB0", None)
    sysfs.plug("ttyUSB1", "")
    sysfs.solder("ttyS0")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in ("/dev/ttyUSB0", "/dev/ttyUSB1", "/dev/ttyS0", "/dev/ttyUSB9", "/dev/pts/1"):
        assert usb_port_behind(path, sysfs.root) is None
    assert usb_port_behind(str(tmp_path / "loop"), sysfs.root) is None


def test_an_adapter_is_found_under_its_new_name(sysfs: Sysfs) -> None:
    sysfs.plug("ttyUSB0", "other")
    sysfs.plug("ttyUSB1", "FT1")
    assert path_of(UsbPort("FT1", "00", "0"), sysfs.root) == "/dev/ttyUSB1"
    assert path_of(UsbPort("gone", "00", "0"), sysfs.root) is None


def test_the_ports_of_one_adapter_are_told_apart(sysfs: Sysfs) -> None:
    sysfs.plug("ttyUSB0", "FT4", interface="00")
    sysfs.plug("ttyUSB1", "FT4", interface="01")
    sysfs.plug("ttyUSB2", "CP2", port="0")
    sysfs.plug("ttyUSB3", "CP2", port="1")
    assert path_of(UsbPort("FT4", "01", "0"), sysfs.root) == "/dev/ttyUSB1"
    assert path_of(UsbPort("CP2", "00", "1"), sysfs.root) == "/dev/ttyUSB3"


def test_two_adapters_with_one_serial_number_are_not_guessed_at(sysfs: Sysfs) -> None:
    sysfs.plug("ttyUSB0", "0001")
    sysfs.plug("ttyUSB1", "0001")
    assert path_of(UsbPort("0001", "00", "0"), sysfs.root) is None


@pytest.fixture
def port(sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SerialPort:
    """A port whose adapter FT1 was open before, at a path that is not there now."""
    for name in ("usb_port_behind", "path_of"):
        looked_up = getattr(usb_ports, name)
        monkeypatch.setattr(serial_port, name, lambda key, look=looked_up: look(key, sysfs.root))
    made = SerialPort("/dev/ttyUSB-oat-test", 1_000_000)
    made._adapter = UsbPort("FT1", "00", "0")
    return made


def test_a_renumbered_adapter_is_opened_where_it_is_now(port: SerialPort, sysfs: Sysfs) -> None:
    sysfs.plug("ttyUSB-oat-new", "FT1")
    with pytest.raises(PortError, match="does not exist"):
        port.open()
    assert port._current_path() == "/dev/ttyUSB-oat-new"


def test_an_adapter_that_took_the_name_of_ours_is_refused(port: SerialPort, sysfs: Sysfs) -> None:
    sysfs.plug("ttyUSB-oat-test", "OTHER")
    with pytest.raises(PortError, match="another adapter now: serial number OTHER, not FT1"):
        port.open()


def test_an_adapter_that_is_away_is_looked_for_at_its_path(port: SerialPort) -> None:
    with pytest.raises(PortError, match="port /dev/ttyUSB-oat-test does not exist"):
        port.open()
