"""Several buses in one tick: none waits for another, and what one did not bring ages alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from edge.bus_group import BusGroup, PartLostError
from edge.bus_lane import BusLane
from edge.records import tick_dtype
from edge.safety import Limits, SafetyFilter
from firmware_bridge.errors import BridgeError, BusTimeout, DeviceError, PortError
from firmware_bridge.messages import JointState, SafeSetpoint
from tests.contract.emulated_line import eventually

PATIENT_NS = 20_000_000_000  # where the test waits for work that will be done
SHORT_NS = 1_000_000  # where it waits for work that will not
ARM, BASE = np.array([0, 2]), np.array([1])


class Bus:
    """A bus whose ``faults`` are raised by the next readings, and that hangs while ``stuck``."""

    def __init__(self, position_rad: list[float]) -> None:
        self.position_rad = np.array(position_rad)
        self.faults: list[BridgeError] = []
        self.refusals: list[BridgeError] = []
        self.sent: list[SafeSetpoint] = []
        self.calls: list[str] = []
        self.stamp_ns = 0
        self.stuck = threading.Event()
        self.go_on = threading.Event()

    def open(self) -> None:
        self.calls.append("open")
        if self.faults:
            raise self.faults.pop(0)

    def read_state(self) -> JointState:
        if self.stuck.is_set():
            self.go_on.wait(20.0)
        if self.faults:
            raise self.faults.pop(0)
        self.stamp_ns += 1
        zeros = np.zeros_like(self.position_rad)
        return JointState(self.stamp_ns, self.position_rad.copy(), zeros, zeros)

    def write_setpoints(self, setpoint: SafeSetpoint) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.sent.append(setpoint)

    def enable(self) -> None:
        self.calls.append("enable")

    def disable(self) -> None:
        self.calls.append("disable")

    def close(self) -> None:
        self.calls.append("close")


class Robot:
    """Two arm joints on one bus and, in between in the robot's order, a wheel on another."""

    def __init__(self) -> None:
        self.arm, self.base = Bus([0.1, 0.3]), Bus([0.2])
        self.lanes = [
            BusLane("arm", self.arm, ARM, PATIENT_NS),
            BusLane("base", self.base, BASE, PATIENT_NS, turns=True),
        ]
        self.group = BusGroup(self.lanes, 3)
        limits = Limits(*[np.full(3, 1.0)] * 5, np.full(3, np.inf), np.array([False, True, False]))
        self.filter = SafetyFilter(("a", "wheel", "b"), limits, 0.005)
        self.filter.engage(np.array([0.1, 0.2, 0.3]))

    def setpoint(self) -> SafeSetpoint:
        made = self.filter.decelerate(0)
        assert isinstance(made, SafeSetpoint)
        return made


@pytest.fixture
def robot() -> Iterator[Robot]:
    made = Robot()
    made.group.open()
    yield made
    for bus in (made.arm, made.base):
        bus.go_on.set()
    made.group.close()


def test_one_reading_has_all_joints_in_the_robots_order(robot: Robot) -> None:
    reading = robot.group.read()
    assert reading.fresh and not reading.fault and reading.state is not None
    assert reading.state.position_rad.tolist() == [0.1, 0.2, 0.3]


def test_a_silent_bus_ages_alone_and_the_whole_is_as_old_as_it(robot: Robot) -> None:
    robot.group.read()
    robot.arm.stamp_ns = 100
    robot.arm.position_rad[:] = 0.5
    robot.base.faults = [BusTimeout("no answer from device 0")]
    reading = robot.group.read()
    assert not reading.fresh and not reading.refused
    assert reading.fault == "bus base: no answer from device 0"
    assert reading.state is not None
    assert reading.state.position_rad.tolist() == [0.5, 0.2, 0.5]
    assert reading.state.stamp_ns == 1
    with pytest.raises(BusTimeout, match="bus base: no answer"):
        robot.base.faults = [BusTimeout("no answer from device 0")]
        robot.group.read_state()
    assert robot.group.read().fresh


def test_before_every_bus_has_answered_once_there_is_no_state(robot: Robot) -> None:
    robot.base.faults = [BusTimeout("no answer")]
    assert robot.group.read().state is None
    assert robot.group.read().state is not None


def test_a_bus_that_hangs_costs_a_tick_its_budget_and_the_others_nothing(robot: Robot) -> None:
    robot.group.read()
    robot.group.enable()
    robot.lanes[1].budget_ns = SHORT_NS
    robot.base.stuck.set()
    for tick in range(3):  # without threads the first of these would hang
        robot.arm.position_rad[:] = tick
        reading = robot.group.read()
        assert reading.state is not None
        assert reading.state.position_rad.tolist() == [tick, 0.2, tick]
        assert reading.fault == "bus base: no answer within 1000 us"
        robot.group.write_setpoints(robot.setpoint())
        assert robot.lanes[0].finished(time.monotonic_ns() + PATIENT_NS)  # a busy one is not read
    assert (len(robot.arm.sent), len(robot.base.sent)) == (3, 0)
    robot.base.stuck.clear()
    robot.base.go_on.set()
    robot.lanes[1].budget_ns = PATIENT_NS
    assert robot.group.read().fresh
    robot.group.write_setpoints(robot.setpoint())
    assert len(robot.base.sent) == 1  # the newest, and none that was due meanwhile


def test_each_bus_is_sent_its_own_joints(robot: Robot) -> None:
    robot.group.read()
    robot.group.enable()
    robot.group.write_setpoints(robot.setpoint())
    robot.group.read()  # after it all writing is done
    assert robot.arm.sent[0].position_rad.tolist() == [0.1, 0.3]
    assert robot.base.sent[0].velocity_rad_s is not None
    assert robot.base.sent[0].velocity_rad_s.tolist() == [0.0]


def test_nothing_is_sent_before_the_joints_are_engaged_and_wheels_are_engaged_first(
    robot: Robot,
) -> None:
    order: list[str] = []
    robot.arm.enable = lambda: order.append("arm")  # type: ignore[method-assign]
    robot.base.enable = lambda: order.append("base")  # type: ignore[method-assign]
    robot.group.read()
    robot.group.write_setpoints(robot.setpoint())
    robot.group.enable()
    assert order == ["base", "arm"]
    assert robot.arm.sent == robot.base.sent == []


def test_a_bus_that_has_stopped_gets_nothing_until_it_is_engaged_anew_and_the_rest_does(
    robot: Robot,
) -> None:
    robot.group.read()
    robot.group.enable()
    robot.base.refusals = [DeviceError("axis 0 reports: watchdog timer expired")]
    with pytest.raises(PartLostError, match="bus base: axis 0 reports"):
        write_and_settle(robot)
        robot.group.write_setpoints(robot.setpoint())
    for _ in range(3):
        robot.group.read()
        robot.group.write_setpoints(robot.setpoint())
    robot.group.read()
    assert robot.base.sent == [] and len(robot.arm.sent) >= 4
    robot.group.enable()
    robot.group.write_setpoints(robot.setpoint())
    robot.group.read()
    assert len(robot.base.sent) == 1


def write_and_settle(robot: Robot) -> None:
    robot.group.write_setpoints(robot.setpoint())
    robot.group.read()


def test_a_fault_that_a_reading_tells_of_is_a_refusal_too(robot: Robot) -> None:
    robot.group.read()
    robot.group.enable()
    robot.base.faults = [DeviceError("axis 1 left closed loop control")]
    reading = robot.group.read()
    assert reading.refused and "axis 1 left" in reading.fault
    with pytest.raises(PartLostError, match="axis 1 left"):
        robot.group.write_setpoints(robot.setpoint())
    robot.group.write_setpoints(robot.setpoint())  # told once


def test_when_no_bus_obeys_the_robot_is_not_ours(robot: Robot) -> None:
    robot.group.read()
    robot.group.enable()
    robot.arm.faults = [DeviceError("servo 2 reports: overload")]
    robot.base.faults = [PortError("port can0 is gone")]
    robot.group.read()
    with pytest.raises(DeviceError) as error:
        robot.group.write_setpoints(robot.setpoint())
    assert not isinstance(error.value, PartLostError)


def test_a_port_that_is_gone_is_opened_again_and_its_joints_wait_for_the_operator(
    robot: Robot,
) -> None:
    robot.group.read()
    robot.group.enable()
    robot.base.faults = [PortError("port can0 is gone")]
    assert robot.group.read().refused
    robot.base.calls.clear()
    assert robot.group.read().fresh
    assert robot.base.calls == ["close", "open"]
    with pytest.raises(PartLostError):
        robot.group.write_setpoints(robot.setpoint())
    robot.group.write_setpoints(robot.setpoint())
    robot.group.read()
    assert robot.base.sent == []


def test_a_bus_that_cannot_be_opened_leaves_none_open() -> None:
    robot = Robot()
    robot.base.faults = [PortError("port can0 cannot be opened")]
    with pytest.raises(PortError, match="can0"):
        robot.group.open()
    assert robot.arm.calls == ["open", "close"]


def test_a_driver_that_breaks_is_a_fault_with_its_name_and_not_a_silence(robot: Robot) -> None:
    def broken() -> JointState:
        raise ZeroDivisionError("division by zero")

    robot.group.read()
    robot.base.read_state = broken  # type: ignore[method-assign]
    assert robot.group.read().fault == "bus base: ZeroDivisionError: division by zero"


def test_a_tick_tells_of_each_bus_what_it_took_and_whether_it_missed(robot: Robot) -> None:
    robot.group.read()
    robot.base.faults = [BusTimeout("no answer")]
    robot.group.read()
    tick = np.zeros((), tick_dtype(3, 2))
    robot.group.describe(tick)
    assert tick["bus_missed"].tolist() == [0, 1]
    assert (tick["bus_ns"] > 0).all()


def test_a_bus_is_enabled_while_the_others_are_read_and_get_their_setpoints(robot: Robot) -> None:
    robot.group.read()
    robot.group.enable()
    robot.base.faults = [DeviceError("axis 1 left closed loop control")]
    robot.group.read()
    with pytest.raises(PartLostError, match="axis 1 left"):
        robot.group.write_setpoints(robot.setpoint())
    enable, go_on = robot.base.enable, threading.Event()
    robot.base.enable = lambda: (go_on.wait(20.0), enable())[1]  # type: ignore[func-returns-value]
    robot.group.begin_engaging()
    assert not robot.group.engaging_done() and robot.group.holds_any
    sent = len(robot.arm.sent)
    for tick in range(5):  # with a wait for the base's budget each of these would take 20 s
        robot.arm.position_rad[:] = tick
        reading = robot.group.read()
        assert reading.fault == "bus base: its joints are being enabled"
        assert reading.state is not None and reading.state.position_rad[0] == tick
        robot.group.write_setpoints(robot.setpoint())
    robot.group.read()
    assert len(robot.arm.sent) == sent + 5 and robot.arm.calls.count("enable") == 1
    go_on.set()
    assert eventually(robot.group.engaging_done)
    write_and_settle(robot)
    assert robot.base.sent == []  # enabled, but nobody has started from where it is
    robot.group.confirm_engaged()
    write_and_settle(robot)
    assert len(robot.base.sent) == 1


def test_a_bus_whose_enabling_was_abandoned_gets_no_setpoints(robot: Robot) -> None:
    robot.group.read()
    robot.group.begin_engaging()
    assert eventually(robot.group.engaging_done)
    robot.group.abandon_engaging()
    robot.group.confirm_engaged()
    write_and_settle(robot)
    assert robot.arm.sent == robot.base.sent == []


def test_a_bus_that_cannot_be_enabled_says_why_and_one_that_failed_since_is_lost(
    robot: Robot,
) -> None:
    robot.group.read()
    enable = robot.arm.enable
    robot.arm.enable = lambda: (_ for _ in ()).throw(DeviceError("servo 4 refuses"))  # type: ignore[method-assign]
    robot.group.begin_engaging()
    with pytest.raises(DeviceError, match="bus arm: servo 4 refuses"):
        eventually(robot.group.engaging_done)
    robot.arm.enable = enable  # type: ignore[method-assign]
    robot.group.begin_engaging()
    assert eventually(robot.group.engaging_done)
    robot.base.faults = [DeviceError("axis 0 is gone")]
    robot.group.read()
    robot.group.confirm_engaged()
    with pytest.raises(PartLostError, match="axis 0 is gone"):
        robot.group.write_setpoints(robot.setpoint())


def slow_to_read(robot: Robot) -> threading.Event:
    """Make a reading of the arm outlast its budget; set what is returned to let it end."""
    robot.lanes[0].budget_ns = SHORT_NS
    robot.arm.stuck.set()
    assert not robot.group.read().fresh
    return robot.arm.go_on


def begin_up_to_the_arm(robot: Robot) -> None:
    """Have the base enabled, and the arm, which is busy, asked for."""
    robot.group.begin_engaging()
    assert eventually(lambda: robot.group.engaging_done() or robot.lanes[1].enabled)
    assert not robot.group.engaging_done()


def test_a_bus_asked_to_be_enabled_begins_no_reading_before(robot: Robot) -> None:
    robot.group.read()
    end = slow_to_read(robot)
    begin_up_to_the_arm(robot)
    end.set()
    assert eventually(lambda: robot.lanes[0].finished(0))
    taken = robot.arm.stamp_ns
    reading = robot.group.read()
    assert not reading.fresh and reading.fault == "bus arm: its joints are being enabled"
    assert robot.arm.stamp_ns == taken and "enable" not in robot.arm.calls
    assert eventually(robot.group.engaging_done)
    robot.lanes[0].budget_ns = PATIENT_NS
    assert robot.group.read().fresh and "enable" in robot.arm.calls


def test_a_bus_that_nobody_asks_to_be_enabled_any_more_is_read_again(robot: Robot) -> None:
    robot.group.read()
    end = slow_to_read(robot)
    begin_up_to_the_arm(robot)
    robot.group.abandon_engaging()
    end.set()
    robot.lanes[0].budget_ns = PATIENT_NS
    assert eventually(lambda: robot.group.read().fresh)
    assert "enable" not in robot.arm.calls
