"""``oat-edge bus scan, monitor, set-id, latency``, as a user types them."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.commands.main import main
from firmware_bridge.dynamixel import codec
from firmware_bridge.transports.serial_port import SerialPort
from tests.contract.oatlink_rigs import OatlinkKeyFdRig, OatlinkKeyRig
from tests.contract.rigs import (
    BAUD,
    PATIENT,
    DynamixelRig,
    ODriveRig,
    short_runtime_directory,
)

PATIENCE_S = 30.0
COLUMNS = 80


@pytest.fixture(autouse=True)
def runtime_directory() -> Iterator[None]:
    with short_runtime_directory():
        yield


@pytest.fixture
def arm() -> Iterator[DynamixelRig]:
    rig = DynamixelRig()
    yield rig
    rig.close()


@pytest.fixture
def base() -> Iterator[ODriveRig]:
    rig = ODriveRig()
    yield rig
    rig.close()


def oat_edge(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["oat-edge", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_scan_lists_devices_as_json(monkeypatch, capsys, arm: DynamixelRig) -> None:  # type: ignore[no-untyped-def]
    assert oat_edge(monkeypatch, "bus", "scan", "dynamixel", arm.path, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [device["device_id"] for device in report["devices"]] == list(arm.ids)
    assert report["devices"][0]["model"] == "XM540-W270"


def test_scan_finds_a_controller_with_a_key_only_for_who_has_it(monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    rig = OatlinkKeyRig()
    try:
        scan = ("bus", "scan", "oatlink", rig.controller.path, "--json")
        assert oat_edge(monkeypatch, *scan) == 1
        capsys.readouterr()
        assert oat_edge(monkeypatch, *scan, "--key-file", str(rig.key_file)) == 0
        (device,) = json.loads(capsys.readouterr().out)["devices"]
        assert device["model"] == "oatlink controller"
    finally:
        rig.close()


def test_scan_of_can_fd_finds_a_controller_with_a_key_only_for_who_has_it(  # type: ignore[no-untyped-def]
    monkeypatch, capsys, tmp_path: Path
) -> None:
    rig = OatlinkKeyFdRig()
    other = tmp_path / "other.key"
    other.touch(mode=0o600)
    other.write_text("ab" * 32 + "\n")
    try:
        scan = ("bus", "scan", "oatlink_fd", f"oatcan:{rig.channel.name}", "--ids", "2-4", "--json")
        assert oat_edge(monkeypatch, *scan) == 1
        assert oat_edge(monkeypatch, *scan, "--key-file", str(other)) == 1
        capsys.readouterr()
        assert oat_edge(monkeypatch, *scan, "--key-file", str(rig.key_file)) == 0
        (device,) = json.loads(capsys.readouterr().out)["devices"]
        assert (device["device_id"], device["model"]) == (rig.node, "oatlink controller")
    finally:
        rig.close()


def test_a_key_for_a_protocol_without_keys_is_refused(  # type: ignore[no-untyped-def]
    monkeypatch, capsys, arm: DynamixelRig
) -> None:
    scan = ("bus", "scan", "dynamixel", arm.path, "--key-file", "arm.key")
    assert oat_edge(monkeypatch, *scan) == 2
    assert "--key-file is 'arm.key', but dynamixel has no keys" in capsys.readouterr().err


def test_scan_of_a_silent_bus_is_a_failure(monkeypatch, capsys, arm: DynamixelRig) -> None:  # type: ignore[no-untyped-def]
    for joint in range(len(arm.ids)):
        arm.silence(joint)
    assert oat_edge(monkeypatch, "bus", "scan", "dynamixel", arm.path) == 1
    assert f"no device answers on {arm.path} (dynamixel, ids 0-252" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("scan", "semaphore", "x"), "protocol 'semaphore' is not known (known: cia402"),
        (("scan", "odrive", "/dev/ttyUSB0"), "odrive wants interface:channel"),
        (("scan", "dynamixel", "oatcan:x"), "dynamixel wants a tty's path"),
        (("scan", "odrive", "carrier-pigeon:x"), "odrive wants interface:channel"),
        (("monitor", "odrive", "oatcan:x", "--through", "t"), "--through is for serial ports"),
        (("set-id", "odrive", "oatcan:x", "1", "2"), "set-id asks before it writes"),
    ],
)
def test_what_cannot_be_asked_for_is_said_in_one_line(monkeypatch, capsys, arguments, said) -> None:  # type: ignore[no-untyped-def]
    assert oat_edge(monkeypatch, "bus", *arguments) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_an_interface_that_nobody_knows_is_named_with_those_that_are(monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    assert oat_edge(monkeypatch, "bus", "scan", "odrive", "pigeon:x") == 1
    error = capsys.readouterr().err
    assert "interface 'pigeon' is not known" in error and "oatcan" in error and "slcan" in error


@pytest.mark.parametrize("ids", ["300", "3-1", "x", "", "1,,2"])
def test_ids_out_of_range_are_refused(monkeypatch, capsys, arm: DynamixelRig, ids: str) -> None:  # type: ignore[no-untyped-def]
    assert oat_edge(monkeypatch, "bus", "scan", "dynamixel", arm.path, "--ids", ids) == 2
    assert "allowed are numbers and ranges of 0 to 252" in capsys.readouterr().err


def set_id(monkeypatch: Any, rig: DynamixelRig, *arguments: str) -> int:
    return oat_edge(monkeypatch, "bus", "set-id", "dynamixel", rig.path, *arguments)


def test_set_id_is_verified(monkeypatch, capsys, arm: DynamixelRig) -> None:  # type: ignore[no-untyped-def]
    assert set_id(monkeypatch, arm, "7", "20", "--yes", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verified"] and (report["old"], report["new"]) == (7, 20)
    assert arm.servos[6].servo_id == 20


def test_set_id_refuses_an_id_in_use_and_one_that_nobody_has(monkeypatch, capsys, arm) -> None:  # type: ignore[no-untyped-def]
    arm.hold()
    assert set_id(monkeypatch, arm, "7", "3", "--yes") == 1
    assert "id 3 is in use" in capsys.readouterr().err
    assert set_id(monkeypatch, arm, "9", "20", "--yes") == 1
    assert "no device answers as 9" in capsys.readouterr().err
    assert set_id(monkeypatch, arm, "7", "253", "--yes") == 2
    assert "NEW is 253, allowed in dynamixel are 0 to 252" in capsys.readouterr().err
    assert [servo.servo_id for servo in arm.servos] == list(arm.ids) and all(arm.torque())


@pytest.mark.parametrize(("answer", "code", "torque"), [(b"n\n", 1, True), (b"y\n", 0, False)])
def test_set_id_asks_on_a_terminal_before_it_writes(
    arm: DynamixelRig, answer: bytes, code: int, torque: bool
) -> None:
    arm.hold()
    command = "from edge.commands.main import main; main()"
    arguments = ["bus", "set-id", "dynamixel", arm.path, "7", "20"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", command, *arguments], stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        said = read_until(ours, b"[y/N]")
        assert b"XM540-W270, id 7" in said and b"torque on" in said
        assert b"an arm without brakes falls" in said
        assert arm.servos[6].has_torque and arm.servos[6].servo_id == 7
        os.write(ours, answer)
        assert process.wait(PATIENCE_S) == code
    os.close(ours)
    assert arm.servos[6].servo_id == (7 if torque else 20)
    assert arm.servos[6].has_torque is torque


def read_until(descriptor: int, mark: bytes) -> bytes:
    said = b""
    while mark not in said and select.select((descriptor,), (), (), PATIENCE_S)[0]:
        said += os.read(descriptor, 4096)
    return said


def test_latency_counts_every_round_trip(monkeypatch, capsys, base: ODriveRig) -> None:  # type: ignore[no-untyped-def]
    address = f"oatcan:{base.channel.name}"
    arguments = ("latency", "odrive", address, "--ids", "0,1", "--n", "20", "--json")
    assert oat_edge(monkeypatch, "bus", *arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in report["rows"]] == [0, 1]
    assert sum(row["count"] for row in report["histogram"]) == sum(r["n"] for r in report["rows"])
    for row in report["rows"]:
        assert row["n"] + row["lost"] == 20
        assert 0 < row["p50_us"] <= row["p99_us"] <= row["max_us"]


def test_latency_and_scan_fit_a_narrow_terminal(monkeypatch, capsys, arm: DynamixelRig) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    assert oat_edge(monkeypatch, "bus", "latency", "dynamixel", arm.path, "--n", "20") == 0
    assert oat_edge(monkeypatch, "bus", "scan", "dynamixel", arm.path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= COLUMNS and any("p99" in line for line in lines)


def test_monitor_shows_a_can_bus_as_json_lines(monkeypatch, capsys, base: ODriveRig) -> None:  # type: ignore[no-untyped-def]
    address = f"oatcan:{base.channel.name}"
    arguments = ("monitor", "odrive", address, "--names", "heartbeat", "--count", "9", "--json")
    assert oat_edge(monkeypatch, "bus", *arguments) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 9 and {row["name"] for row in rows} == {"heartbeat"}
    assert {row["id"] for row in rows} <= set(base.ids)
    assert all(row["from"] == "device" and row["fields"]["axis_error"] == 0 for row in rows)


def test_monitor_stands_between_a_serial_port_and_its_user(  # type: ignore[no-untyped-def]
    monkeypatch, capsys, arm: DynamixelRig, tmp_path: Path
) -> None:
    link = tmp_path / "through"
    user = threading.Thread(target=use_bus, args=(arm, link), daemon=True)
    user.start()
    arguments = ("dynamixel", arm.path, "--through", str(link), "--names", "write,status", "--json")
    assert oat_edge(monkeypatch, "bus", "monitor", *arguments, "--count", "40") == 0
    user.join(PATIENCE_S)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(row["name"], row["from"]) for row in rows} == {("write", "host"), ("status", "device")}
    assert any("bus_watchdog" in row["fields"] for row in rows if row["name"] == "write")
    assert not link.exists()


def use_bus(arm: DynamixelRig, link: Path) -> None:
    """Open the arm's bus through the monitor's port once that is there."""
    pause = threading.Event()
    while not link.exists():
        pause.wait(0.01)
    path, arm.path = arm.path, str(link)
    bus = arm.bus(PATIENT)
    arm.path = path
    try:
        bus.open()
    except Exception:  # the monitor leaves as soon as it has seen enough
        return
    bus.close()


def test_a_relay_passes_bytes_both_ways_and_takes_its_link_away(tmp_path: Path) -> None:
    from firmware_bridge.devices import DEVICE, HOST
    from firmware_bridge.transports.relay import SerialRelay

    device, port_end = os.openpty()
    link = tmp_path / "tty"
    port = SerialPort(os.ttyname(port_end), BAUD)
    port.open()
    far_ns = 1 << 62
    with SerialRelay(port, link) as relay:
        user = os.open(link, os.O_RDWR | os.O_NOCTTY)
        os.write(user, codec.ping(3))
        assert relay.pass_on(far_ns) == [(HOST, codec.ping(3))]
        assert os.read(device, 100) == codec.ping(3)
        os.write(device, codec.status(3))
        assert relay.pass_on(far_ns) == [(DEVICE, codec.status(3))]
        assert os.read(user, 100) == codec.status(3)
        os.close(user)
    assert not link.is_symlink()
    port.close()
    for descriptor in (device, port_end):
        os.close(descriptor)
