"""``oat-edge emulate`` and ``oat-edge bus protocols``, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from firmware_bridge.joint_map import JointMap
from firmware_bridge.messages import SafeSetpoint
from firmware_bridge.protocols import BusOptions, load_protocols
from tests.contract.rigs import short_runtime_directory

PROTOCOLS = load_protocols()
JOINTS = 3
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def runtime_directory() -> Iterator[None]:
    with short_runtime_directory():
        yield


def oat_edge(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from edge.commands.main import main; main()", *arguments]


@contextmanager
def emulated(*arguments: str) -> Iterator[str]:
    command = oat_edge("emulate", *arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_each_protocols_bus_drives_its_emulation_in_another_process(name, tmp_path) -> None:  # type: ignore[no-untyped-def]
    spec = PROTOCOLS[name]
    link = str(tmp_path / "tty")
    line = ("--channel", "demo") if spec.is_can else ("--link", link)
    with emulated(name, "--joints", str(JOINTS), *line) as printed:
        address = printed if spec.is_can else link
        assert printed == "oatcan:demo" or os.path.realpath(link) == printed
        joints = JointMap(tuple(range(spec.first_id, spec.first_id + JOINTS)))
        bus = spec.make_bus(address, joints, BusOptions(watchdog_ms=0, patience=100))
        bus.open()
        bus.enable()
        target = bus.read_state().position_rad + np.array([0.1, -0.1, 0.05])
        end = time.monotonic() + PATIENCE_S
        reached = False
        while not reached and time.monotonic() < end:
            bus.write_setpoints(SafeSetpoint(time.monotonic_ns(), target))
            reached = bool(np.allclose(bus.read_state().position_rad, target, atol=0.005))
        bus.disable()
        bus.close()
        assert reached
    assert spec.is_can or not os.path.lexists(link)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["semaphore"], "protocol 'semaphore' is not known"),
        (["odrive", "--interface", "socketcan"], "interface 'socketcan' cannot be emulated"),
        (["feetech", "--plant", "whale"], "plant 'whale' is not known"),
        (["odrive", "--link", "x"], "--link 'x' is for serial ports: odrive runs on CAN"),
        (["feetech", "--channel", "c"], "--channel 'c' is for CAN: feetech runs on a serial line"),
    ],
)
def test_what_cannot_be_emulated_is_named(arguments: list[str], message: str) -> None:
    done = subprocess.run(
        oat_edge("emulate", *arguments), capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 2 and message in done.stderr


def test_the_list_of_protocols_says_what_each_can_do() -> None:
    done = subprocess.run(
        oat_edge("bus", "protocols", "--json"), capture_output=True, text=True, timeout=PATIENCE_S
    )
    rows = {row["protocol"]: row for row in json.loads(done.stdout)["protocols"]}
    assert set(rows) >= {"cia402", "damiao", "dynamixel", "feetech", "moteus", "odrive"}
    assert [name for name in rows if rows[name]["fd"]] == ["moteus", "oatlink_fd"]
    for row in rows.values():
        assert row["plan_hz"] < row["max_hz"] and row["watchdog"] and row["limits"]


def test_a_broken_protocol_of_somebody_else_warns_and_takes_no_other_down(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    class Broken:
        name = "broken"

        def load(self) -> object:
            raise ImportError("no such module")

    class Strange(Broken):
        name = "strange"

        def load(self) -> object:
            return 42

    class Good(Broken):
        name = "odrive"

        def load(self) -> object:
            return PROTOCOLS["odrive"]

    monkeypatch.setattr(
        "firmware_bridge.protocols.entry_points", lambda group: [Broken(), Good(), Strange()]
    )
    with pytest.warns(UserWarning, match=r"broken cannot be loaded|strange is no ProtocolSpec"):
        assert list(load_protocols()) == ["odrive"]


def test_motors_behind_a_serial_can_adapter_are_found_and_driven(tmp_path) -> None:  # type: ignore[no-untyped-def]
    link = tmp_path / "can.tty"
    arguments = ("--interface", "slcan", "--channel", "behind", "--link", str(link))
    with emulated("odrive", "--joints", "2", *arguments) as address:
        assert address.startswith("slcan:/dev/") and os.path.realpath(link) in address
        scan = oat_edge("bus", "scan", "odrive", address, "--ids", "0-5", "--json")
        done = subprocess.run(scan, capture_output=True, text=True, timeout=PATIENCE_S)
        assert [d["device_id"] for d in json.loads(done.stdout)["devices"]] == [0, 1]
        bus = PROTOCOLS["odrive"].make_bus(address, JointMap((0, 1)), BusOptions(patience=100))
        bus.open()
        bus.enable()
        bus.disable()
        bus.close()


def test_a_serial_protocol_has_no_can_adapter() -> None:
    command = oat_edge("emulate", "feetech", "--interface", "slcan")
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2 and "feetech runs on a serial line" in done.stderr
