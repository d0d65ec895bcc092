"""What every ``JointBus`` promises, for each protocol on each transport.

The list is ``RIGS``, and ``REAL_RIGS`` where a machine with such hardware runs this.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from firmware_bridge.bus import JointBus
from firmware_bridge.errors import BridgeError, BusTimeout, DeviceError, PortError
from firmware_bridge.messages import JointState, SafeSetpoint
from tests.contract.rigs import (
    DIRECTIONS,
    HASTY,
    JOINTS,
    PATIENT,
    RIGS,
    ZEROS_RAD,
    Patience,
    short_runtime_directory,
)
from tests.socketcan import hardware
from tests.socketcan.rigs import REAL_RIGS

START = np.array([0.2, -0.3, 0.4, 0.0, 0.5, -0.6, 0.1])
LOOKS = 2000  # 10 s at least
WATCHDOG_MS = 300


@pytest.fixture(scope="module", autouse=True)
def runtime_directory() -> Iterator[None]:
    with short_runtime_directory():
        yield


ALL_RIGS = RIGS | (REAL_RIGS if hardware.IS_HERE else {})


@pytest.fixture(params=ALL_RIGS.values(), ids=ALL_RIGS.keys())
def rig_kind(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    return request.param


@pytest.fixture
def rig(rig_kind):  # type: ignore[no-untyped-def]
    made = rig_kind()
    made.place(START)
    yield made
    made.close()


@pytest.fixture
def bus(rig) -> Iterator[JointBus]:  # type: ignore[no-untyped-def]
    made = rig.bus()
    made.open()
    yield made
    made.close()


def expected_rad() -> np.ndarray:
    return START * DIRECTIONS + ZEROS_RAD


def setpoint(position_rad: np.ndarray) -> SafeSetpoint:
    return SafeSetpoint(time.monotonic_ns(), position_rad)


def eventually(holds: Callable[[], bool]) -> bool:
    """Looks a bounded number of times, not so long by the clock: that runs on while a busy machine
    keeps everything here waiting.
    """
    for _ in range(LOOKS):
        if holds():
            return True
        time.sleep(0.005)
    return False


def read_patiently(bus: JointBus) -> JointState:
    for _ in range(20):
        try:
            return bus.read_state()
        except BusTimeout:
            continue
    raise AssertionError("no state in 20 reads")


def enable_patiently(bus: JointBus) -> None:
    """A busy machine may keep a device's confirmation waiting too long, for us or a controller."""
    for _ in range(5):
        try:
            bus.enable()
            return
        except BusTimeout:
            continue
        except DeviceError as error:
            if "silent" not in str(error):
                raise
    raise AssertionError("not enabled in 5 attempts")


def test_it_is_a_joint_bus(rig) -> None:  # type: ignore[no-untyped-def]
    assert isinstance(rig.bus(), JointBus)


def test_opening_moves_nothing_and_leaves_torque_off(bus: JointBus, rig) -> None:  # type: ignore[no-untyped-def]
    read_patiently(bus)
    assert not any(rig.torque())
    np.testing.assert_array_equal(rig.plant.position_rad, START)


def test_opening_and_closing_leave_an_arm_that_holds_itself_alone(rig) -> None:  # type: ignore[no-untyped-def]
    rig.hold()
    held = rig.goals_rad()
    bus = rig.bus()
    bus.open()
    read_patiently(bus)
    bus.close()
    bus.close()
    assert all(rig.torque())
    np.testing.assert_array_equal(rig.goals_rad(), held)


def test_a_reading_is_in_joint_order_and_in_rad(bus: JointBus, rig) -> None:  # type: ignore[no-untyped-def]
    before_ns = time.monotonic_ns()
    state = read_patiently(bus)
    assert before_ns < state.stamp_ns < time.monotonic_ns()
    np.testing.assert_allclose(state.position_rad, expected_rad(), atol=rig.resolution_rad)
    for array in (state.position_rad, state.velocity_rad_s, state.current_ma):
        assert array.shape == (JOINTS,) and array.dtype == np.float64


def test_two_readings_share_no_memory(bus: JointBus) -> None:
    first = read_patiently(bus)
    kept = first.position_rad.copy()
    second = read_patiently(bus)
    second.position_rad[:] = second.velocity_rad_s[:] = second.current_ma[:] = 9.0
    np.testing.assert_array_equal(first.position_rad, kept)
    assert abs(read_patiently(bus).velocity_rad_s).max() < 1.0


def test_enabling_holds_the_measured_position(bus: JointBus, rig) -> None:  # type: ignore[no-untyped-def]
    enable_patiently(bus)
    assert all(rig.torque())
    np.testing.assert_allclose(rig.goals_rad(), START, atol=2 * rig.resolution_rad)
    state = read_patiently(bus)
    np.testing.assert_allclose(state.position_rad, expected_rad(), atol=2 * rig.resolution_rad)


def test_setpoints_move_the_joints_there(bus: JointBus, rig) -> None:  # type: ignore[no-untyped-def]
    enable_patiently(bus)
    target = read_patiently(bus).position_rad + np.linspace(-0.2, 0.2, JOINTS)

    def has_arrived() -> bool:
        bus.write_setpoints(setpoint(target))
        reached = read_patiently(bus).position_rad
        return bool(np.allclose(reached, target, atol=3 * rig.resolution_rad))

    assert eventually(has_arrived)


def test_disabling_takes_torque_from_every_device(bus: JointBus, rig) -> None:  # type: ignore[no-untyped-def]
    enable_patiently(bus)
    bus.disable()
    assert not any(rig.torque())


def test_only_a_safe_setpoint_is_sent(bus: JointBus, rig) -> None:  # type: ignore[no-untyped-def]
    class Lookalike:
        stamp_ns = 0
        position_rad = np.zeros(JOINTS)

    before = rig.goals_rad()
    for wrong in (np.zeros(JOINTS), [0.0] * JOINTS, None, Lookalike()):
        with pytest.raises(TypeError, match="SafeSetpoint"):
            bus.write_setpoints(wrong)  # type: ignore[arg-type]
    for bad in (np.zeros(JOINTS - 1), np.zeros(JOINTS + 1), np.zeros((1, JOINTS))):
        with pytest.raises(ValueError, match="shape"):
            bus.write_setpoints(setpoint(bad))
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="not finite"):
            bus.write_setpoints(setpoint(np.array([0.0] * (JOINTS - 1) + [value])))
    read_patiently(bus)  # whatever had been sent would have arrived before this
    np.testing.assert_array_equal(rig.goals_rad(), before)


def test_one_lost_answer_is_repeated_and_not_noticed(bus: JointBus, rig) -> None:  # type: ignore[no-untyped-def]
    rig.lose_answers(1)
    state = bus.read_state()
    np.testing.assert_allclose(state.position_rad, expected_rad(), atol=rig.resolution_rad)


def test_a_device_that_stays_silent_is_a_timeout_that_names_it(rig) -> None:  # type: ignore[no-untyped-def]
    bus = rig.bus(HASTY)
    bus.open()
    rig.silence(4)
    with pytest.raises(BusTimeout, match=rf"no answer from .*\b{rig.ids[4]}\b"):
        bus.read_state()
    rig.unsilence(4)
    assert read_patiently(bus).position_rad.shape == (JOINTS,)
    bus.close()


def test_opening_names_a_device_that_is_not_there_and_gives_the_port_back(rig) -> None:  # type: ignore[no-untyped-def]
    rig.silence(5)
    bus = rig.bus()
    with pytest.raises(BusTimeout, match=rf"\b{rig.ids[5]}\b"):
        bus.open()
    rig.unsilence(5)
    bus.open()
    bus.close()


def test_a_fault_of_a_device_is_named_while_running(bus: JointBus, rig) -> None:  # type: ignore[no-untyped-def]
    enable_patiently(bus)
    position_rad = read_patiently(bus).position_rad
    rig.fail(3)

    def raises() -> bool:
        try:
            bus.write_setpoints(setpoint(position_rad))
            bus.read_state()
        except DeviceError as error:
            return str(rig.ids[3]) in str(error)
        except BusTimeout:  # a busy machine
            pass
        return False

    assert eventually(raises)


def test_a_device_that_rebooted_is_named_and_stays_limp_until_it_is_enabled(rig) -> None:  # type: ignore[no-untyped-def]
    bus = rig.bus(HASTY)
    bus.open()
    enable_patiently(bus)
    still = setpoint(read_patiently(bus).position_rad)

    def tick() -> str:
        """What a cycle raises."""
        try:
            bus.write_setpoints(still)
            bus.read_state()
        except (BusTimeout, DeviceError) as error:
            return f"{type(error).__name__} {error}"
        return ""

    rig.silence(2)
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        assert "DeviceError" not in tick()
    rig.reboot(2)
    assert eventually(lambda: re.search(rf"DeviceError .*\b{rig.ids[2]}\b", tick()) is not None)
    assert not rig.torque()[2]
    enable_patiently(bus)
    read_patiently(bus)
    assert all(rig.torque())
    bus.close()


def test_a_silent_host_stops_the_devices_until_they_are_enabled_again(rig_kind) -> None:  # type: ignore[no-untyped-def]
    rig = rig_kind(WATCHDOG_MS)
    if not rig.has_watchdog:
        rig.close()
        pytest.skip("this protocol's devices have no watchdog")
    rig.place(START)
    bus = rig.bus(Patience(PATIENT.reply_us, PATIENT.budget_us, WATCHDOG_MS))
    bus.open()
    enable_patiently(bus)
    start = read_patiently(bus).position_rad
    assert eventually(lambda: rig.trips() >= JOINTS)
    with pytest.raises(DeviceError):
        bus.write_setpoints(setpoint(start + 0.2))
    np.testing.assert_allclose(rig.plant.position_rad, START, atol=3 * rig.resolution_rad)
    enable_patiently(bus)
    assert all(rig.torque())
    bus.close()
    rig.close()


def test_a_port_that_went_away_is_a_port_error(rig) -> None:  # type: ignore[no-untyped-def]
    if not rig.can_vanish:
        pytest.skip("this transport has no wire that could be pulled")
    bus = rig.bus(HASTY)
    bus.open()
    rig.unplug()
    with pytest.raises(PortError):
        bus.read_state()
    with pytest.raises(PortError):
        bus.write_setpoints(setpoint(np.zeros(JOINTS)))
    bus.close()
    with pytest.raises(BridgeError):
        bus.read_state()
