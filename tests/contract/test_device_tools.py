"""What the tools of every protocol promise: who is there, a round trip, another id."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from firmware_bridge.devices import DeviceTools
from firmware_bridge.errors import BusTimeout, DeviceError
from firmware_bridge.protocols import load_protocols
from firmware_bridge.transports.can_address import can_port
from firmware_bridge.transports.serial_port import SerialPort
from tests.contract import rigs
from tests.contract.rigs import BAUD, JOINTS, RATES, short_runtime_directory

KINDS: dict[str, tuple[str, type]] = {
    "dynamixel": ("dynamixel", rigs.DynamixelRig),
    "feetech": ("feetech", rigs.FeetechRig),
    "odrive-0.6": ("odrive", rigs.ODriveRig),
    "odrive-0.5": ("odrive", rigs.ODrive05Rig),
    "damiao": ("damiao", rigs.DamiaoRig),
    "moteus": ("moteus", rigs.MoteusRig),
    "cia402": ("cia402", rigs.Cia402Rig),
}
SPECS = load_protocols()
FREE = 12
ATTEMPTS = 5  # a busy machine may keep an emulator from answering in time


@pytest.fixture(scope="module", autouse=True)
def runtime_directory() -> Iterator[None]:
    with short_runtime_directory():
        yield


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rig(kind: str) -> Iterator[Any]:
    made = KINDS[kind][1]()
    made.place(np.linspace(-0.3, 0.3, JOINTS))
    yield made
    made.close()


@pytest.fixture
def tools(kind: str, rig: Any) -> Iterator[DeviceTools]:
    toolbox = SPECS[KINDS[kind][0]].toolbox
    assert toolbox is not None
    port: Any = (
        can_port(f"oatcan:{rig.channel.name}", RATES.nominal, RATES.data)
        if hasattr(rig, "channel")
        else SerialPort(rig.path, BAUD)
    )
    port.open()
    yield toolbox().make_tools(port)
    port.close()


def states(tools: DeviceTools, ids: range | tuple[int, ...]) -> dict[int, str]:
    return {device.device_id: device.state for device in tools.scan(ids)}


def eventually(holds: Callable[[], bool]) -> bool:
    for _ in range(ATTEMPTS):
        if holds():
            return True
        time.sleep(0.1)
    return False


def near(rig: Any) -> range:
    return range(rig.ids[0], FREE + 1)


def test_every_installed_protocol_of_ours_is_held_to_this() -> None:
    assert {name for name, _ in KINDS.values()} >= set(SPECS) - {"oatlink", "oatlink_fd"}


def test_a_scan_finds_the_devices_and_no_others(tools: DeviceTools, rig: Any) -> None:
    assert eventually(lambda: tuple(states(tools, near(rig))) == rig.ids)
    assert eventually(lambda: list(states(tools, rig.ids[2:4])) == list(rig.ids[2:4]))


def test_a_scan_changes_nothing(tools: DeviceTools, rig: Any) -> None:
    rig.hold()
    held = rig.goals_rad()
    tools.scan(near(rig))
    assert all(rig.torque())
    np.testing.assert_array_equal(rig.goals_rad(), held)


def test_a_scan_tells_torque_and_faults(tools: DeviceTools, rig: Any) -> None:
    rig.hold()
    rig.fail(3)

    def tells() -> bool:
        told = states(tools, rig.ids)
        return "torque on" in told.get(rig.ids[0], "") and "fault" in told.get(rig.ids[3], "")

    assert eventually(tells)


def test_a_silent_device_is_not_found(tools: DeviceTools, rig: Any) -> None:
    rig.silence(2)
    assert eventually(lambda: set(states(tools, near(rig))) == set(rig.ids) - {rig.ids[2]})


def test_a_ping_is_answered_or_times_out(tools: DeviceTools, rig: Any) -> None:
    def answers() -> bool:
        try:
            tools.ping(rig.ids[4])
        except BusTimeout:
            return False
        return True

    assert eventually(answers)
    with pytest.raises(BusTimeout, match=str(FREE)):
        tools.ping(FREE)


def test_another_id_takes_torque_off_and_stays_without_power(
    tools: DeviceTools, rig: Any, kind: str
) -> None:
    rig.hold()
    before = rig.ids[1]
    if kind == "odrive-0.5":
        with pytest.raises(DeviceError, match=r"0\.5"):
            tools.set_id(before, FREE)
        assert before in states(tools, near(rig))
        return
    tools.set_id(before, FREE)
    assert eventually(lambda: set(states(tools, near(rig))) == {*rig.ids, FREE} - {before})
    assert rig.torque() == [joint != 1 for joint in range(JOINTS)]
    restart(rig, 1)
    assert eventually(lambda: FREE in states(tools, near(rig)))


def restart(rig: Any, joint: int) -> None:
    """Power lost and back."""
    device = rig.servos[joint] if hasattr(rig, "servos") else rig.robot.motors[joint]
    device.reboot() if hasattr(device, "reboot") else device.restart()
