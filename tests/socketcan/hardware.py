"""The virtual machine's hardware from inside: its QEMU monitor, its USB adapter, its interfaces."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import subprocess
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firmware_bridge.transports import usb_ports

VIRTUAL_WIRE = "oat-vcan0"
NEAR, FAR = "oat-can0", "oat-can1"  # two controllers on one wire
ADAPTER = "OAT0001"
PATIENCE_S = 20.0
READ_SIZE = 4096

IS_HERE = Path("/sys/class/net", VIRTUAL_WIRE).exists()


def wait_for(holds: Callable[[], Any], what: str) -> Any:
    """What ``holds`` returns once that is true; raises ``TimeoutError``."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(0.02)
    raise TimeoutError(f"waited in vain for {what}")


def ip(*arguments: str) -> None:
    """Run ``ip link``."""
    subprocess.run(["ip", "link", *arguments], check=True, capture_output=True, text=True)


def virtio_port(name: str) -> Path:
    """The device file of a port that the machine was given by name."""
    for entry in Path("/sys/class/virtio-ports").iterdir():
        if (entry / "name").read_text().strip() == name:
            return Path("/dev") / entry.name
    raise FileNotFoundError(name)


class Monitor:
    """The machine's own QEMU monitor."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def execute(self, command: str, **arguments: str) -> None:
        """Run a command; raises ``RuntimeError`` when QEMU refuses."""
        port = os.open(virtio_port("oat.qmp"), os.O_RDWR)
        try:
            self._ask(port, "qmp_capabilities", {})  # refused after the first time
            if refusal := self._ask(port, command, arguments):
                raise RuntimeError(refusal)
        finally:
            os.close(port)

    def _ask(self, port: int, command: str, arguments: dict[str, str]) -> str:
        number = next(self._numbers)
        question = {"execute": command, "arguments": arguments, "id": number}
        os.write(port, json.dumps(question).encode() + b"\n")
        received = b""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            select.select((port,), (), (), 1.0)
            received += os.read(port, READ_SIZE)
            for line in received.split(b"\r\n")[:-1]:
                with contextlib.suppress(ValueError):
                    answer = json.loads(line)
                    if answer.get("id") == number:
                        return str(answer.get("error", ""))
        raise TimeoutError(f"no answer to {command}")


MONITOR = Monitor()


def adapter_paths() -> list[str]:
    """Where the USB adapter is now."""
    paths = [f"/dev/{entry.name}" for entry in Path("/sys/class/tty").glob("ttyUSB*")]
    ports = {path: usb_ports.usb_port_behind(path) for path in paths if Path(path).exists()}
    return [path for path, port in ports.items() if port and port.serial_number == ADAPTER]


def pull_adapter() -> None:
    """Unplug the USB adapter."""
    MONITOR.execute("device_del", id="adapter")
    wait_for(lambda: not adapter_paths(), "the adapter to go")


def plug_adapter() -> str:
    """Plug it in unless it is; returns its path."""
    if not adapter_paths():
        wait_for(_added, "the far end to be free")
    (path,) = wait_for(adapter_paths, "the adapter")
    return str(path)


def _added() -> bool:
    """Try to plug it in; QEMU refuses until it has let go of the one that was pulled."""
    device = {"driver": "usb-serial", "id": "adapter", "chardev": "far", "serial": ADAPTER}
    try:
        MONITOR.execute("device_add", **device)
    except RuntimeError:
        return False
    return True


class Cable:
    """Joins a pseudo-terminal of this machine to the far end of the USB adapter."""

    def __init__(self, path: str) -> None:
        self._ends = (
            os.open(path, os.O_RDWR | os.O_NOCTTY),
            os.open(virtio_port("oat.far"), os.O_RDWR),
        )
        tty.setraw(self._ends[0])
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        pty, adapter = self._ends
        while True:
            readable, _, _ = select.select((*self._ends, self._stop_read), (), ())
            if self._stop_read in readable:
                return
            for source, sink in ((pty, adapter), (adapter, pty)):
                if source in readable:
                    os.write(sink, os.read(source, READ_SIZE))

    def close(self) -> None:
        """Take the cable away; twice does nothing."""
        if not self._thread.is_alive():
            return
        os.write(self._stop_write, b"x")
        self._thread.join()
        for descriptor in (*self._ends, self._stop_read, self._stop_write):
            os.close(descriptor)
