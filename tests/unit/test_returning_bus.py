"""A bus whose port goes and comes back, as the loop sees it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge import returning_bus
from edge.returning_bus import BusAwayError, ReturningBus
from firmware_bridge.bus import JointBus
from firmware_bridge.dynamixel import DynamixelBus, DynamixelConfig
from firmware_bridge.dynamixel.registers import Register
from firmware_bridge.emulation.chains import VIPERX_IDS, viperx_chain
from firmware_bridge.emulation.paced_pty import PacedPty
from firmware_bridge.errors import BridgeError, BusTimeout, DeviceError, PortError
from firmware_bridge.messages import JointState, SafeSetpoint
from firmware_bridge.transports.serial_port import SerialPort
from tests.contract.emulated_line import EmulatedLine, eventually

BAUD = 1_000_000
HERE = np.array([0.2, -0.3, 0.4, 0.0, 0.5, -0.6, 0.1])
GONE = PortError("port /dev/arm is gone")


class Bus:
    """A bus whose next calls raise ``faults``; opening waits for ``may_open``."""

    def __init__(self) -> None:
        self.faults: list[BridgeError] = []
        self.open_faults: list[Exception] = []
        self.calls: list[str] = []
        self.may_open = threading.Event()

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.faults:
            raise self.faults.pop(0)

    def open(self) -> None:
        self.may_open.wait(20.0)
        self.calls.append("open")
        if self.open_faults:
            raise self.open_faults.pop(0)

    def read_state(self) -> JointState:
        self._called("read")
        zeros = np.zeros(1)
        return JointState(time.monotonic_ns(), zeros, zeros, zeros)

    def write_setpoints(self, setpoint: SafeSetpoint) -> None:
        del setpoint
        self._called("write")

    def enable(self) -> None:
        self._called("enable")

    def disable(self) -> None:
        self._called("disable")

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning_bus, "REOPEN_BACKOFF_NS", (0, 1_000_000))


@pytest.fixture
def inner() -> Bus:
    return Bus()


@pytest.fixture
def bus(inner: Bus) -> Iterator[ReturningBus]:
    made = ReturningBus(inner)
    inner.may_open.set()
    made.open()
    inner.may_open.clear()
    inner.calls.clear()
    yield made
    inner.may_open.set()
    made.close()


def setpoint() -> SafeSetpoint:
    return SafeSetpoint(time.monotonic_ns(), HERE)


def lose(bus: ReturningBus, inner: Bus) -> None:
    inner.faults = [GONE]
    with pytest.raises(BusAwayError, match="port /dev/arm is gone"):
        bus.read_state()


def is_back(bus: JointBus) -> bool:
    try:
        bus.read_state()
    except BridgeError:
        return False
    return True


def test_it_is_a_joint_bus(bus: ReturningBus) -> None:
    assert isinstance(bus, JointBus)


@pytest.mark.parametrize("error", [BusTimeout("no answer"), DeviceError("overload")])
def test_what_is_no_loss_of_the_port_passes_through(
    bus: ReturningBus, inner: Bus, error: BridgeError
) -> None:
    inner.faults = [error]
    with pytest.raises(type(error), match=str(error)):
        bus.read_state()
    bus.write_setpoints(setpoint())
    assert inner.calls == ["read", "write"]


CALLS: dict[str, Callable[[ReturningBus], object]] = {
    "read": lambda bus: bus.read_state(),
    "write": lambda bus: bus.write_setpoints(setpoint()),
    "enable": lambda bus: bus.enable(),
    "disable": lambda bus: bus.disable(),
}


@pytest.mark.parametrize("name", CALLS)
def test_wherever_the_port_is_lost_no_call_touches_it_or_waits_until_it_is_open(
    bus: ReturningBus, inner: Bus, name: str
) -> None:
    inner.faults = [GONE]
    with pytest.raises(BusAwayError):
        CALLS[name](bus)
    for call in CALLS.values():
        with pytest.raises(BusAwayError, match="port /dev/arm is gone"):
            call(bus)
    assert inner.calls[0] == name
    assert set(inner.calls[1:]) <= {"close"}


def test_it_opens_the_port_again_and_again_and_says_what_that_comes_to(
    bus: ReturningBus, inner: Bus
) -> None:
    inner.open_faults = [PortError("port /dev/arm does not exist")] * 20 + [
        RuntimeError("a bug")  # even that ends no attempts
    ]
    lose(bus, inner)
    inner.may_open.set()
    assert eventually(lambda: is_back(bus))
    assert inner.calls.count("open") == 22
    assert inner.calls.index("close") < inner.calls.index("open")


def test_a_port_that_came_back_is_read_and_takes_no_setpoint_until_it_is_enabled(
    bus: ReturningBus, inner: Bus
) -> None:
    lose(bus, inner)
    inner.may_open.set()
    assert eventually(lambda: is_back(bus))
    with pytest.raises(BusAwayError, match="port /dev/arm is gone"):
        bus.write_setpoints(setpoint())
    inner.faults = [DeviceError("servo 4 refuses")]
    with pytest.raises(DeviceError, match="refuses"):
        bus.enable()
    with pytest.raises(BusAwayError):
        bus.write_setpoints(setpoint())
    assert "write" not in inner.calls
    bus.enable()
    bus.write_setpoints(setpoint())
    assert inner.calls[-1] == "write"


def test_a_port_may_go_a_second_time(bus: ReturningBus, inner: Bus) -> None:
    for _ in range(2):
        inner.may_open.clear()
        lose(bus, inner)
        inner.may_open.set()
        assert eventually(lambda: is_back(bus))
        bus.enable()
        bus.write_setpoints(setpoint())


def test_closing_ends_the_attempts(bus: ReturningBus, inner: Bus) -> None:
    inner.open_faults = [GONE] * 1_000_000
    inner.may_open.set()
    lose(bus, inner)
    bus.close()
    tried = inner.calls.count("open")
    assert inner.calls[-1] == "close"
    assert not any(thread.name == "reopen" for thread in threading.enumerate())
    assert inner.calls.count("open") == tried


def test_at_the_start_a_port_that_is_not_there_is_an_error(inner: Bus) -> None:
    inner.may_open.set()
    inner.open_faults = [GONE]
    with pytest.raises(PortError, match="is gone"):
        ReturningBus(inner).open()


def test_an_arm_whose_cable_is_pulled_keeps_its_torque_and_goals_until_it_is_enabled_where_it_is(
    tmp_path: Path,
) -> None:
    """The servos live on; the pseudo-terminal is another one under the same link."""
    link, servos = tmp_path / "arm.tty", viperx_chain()
    config = DynamixelConfig(
        VIPERX_IDS,
        (1,) * 7,
        (0.0,) * 7,
        shadows={2: (3,), 4: (5,)},
        watchdog_ms=0,
        reply_slack_us=300_000,
        read_budget_us=700_000,
    )
    bus = ReturningBus(DynamixelBus(SerialPort(str(link), BAUD), config))
    with EmulatedLine(servos, PacedPty(BAUD, link)) as line:
        line.plant.position_rad[:] = HERE
        line.robot.settle()
        bus.open()
        bus.enable()
    with pytest.raises(BusAwayError):
        bus.write_setpoints(setpoint())
    moved = HERE + 0.3  # pushed by somebody
    with EmulatedLine(servos, PacedPty(BAUD, link)) as line:
        line.plant.position_rad[:] = moved
        line.robot.settle()
        for servo in servos:
            servo.table[Register.BUS_WATCHDOG] = -1
        goals = [servo.goal_ticks for servo in servos]
        assert eventually(lambda: is_back(bus))
        with pytest.raises(BusAwayError):
            bus.write_setpoints(setpoint())
        assert all(servo.has_torque for servo in servos)
        assert [servo.goal_ticks for servo in servos] == goals
        bus.enable()
        assert eventually(lambda: is_back(bus))
        np.testing.assert_allclose(line.plant.position_rad, moved, atol=0.005)
        bus.close()
