"""What every ``JointBus`` promises, on each bus that we have."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from firmware_bridge.bus import JointBus
from firmware_bridge.dynamixel import DynamixelBus, DynamixelConfig, codec
from firmware_bridge.dynamixel.registers import Register
from firmware_bridge.dynamixel.units import RAD_PER_TICK
from firmware_bridge.emulation.chains import VIPERX_IDS, viperx_chain
from firmware_bridge.emulation.paced_pty import PacedPty
from firmware_bridge.errors import BusTimeout, DeviceError, PortError
from firmware_bridge.messages import JointState, SafeSetpoint
from firmware_bridge.transports.serial_port import SerialPort
from tests.contract.emulated_line import EmulatedLine, eventually

JOINTS = len(VIPERX_IDS)
BAUD = 1_000_000
PATIENT = DynamixelConfig(
    ids=VIPERX_IDS,
    directions=(1, -1, 1, 1, -1, 1, 1),
    zero_offsets_rad=(0.0, 0.1, -0.2, 0.0, 0.0, 0.3, 0.0),
    shadows={2: (3,), 4: (5,)},
    watchdog_ms=0,
    reply_slack_us=300_000,
    read_budget_us=700_000,
)  # patient, because a busy machine may keep the emulated servos waiting
HASTY = replace(PATIENT, reply_slack_us=30_000, read_budget_us=80_000)
START = np.array([0.2, -0.3, 0.4, 0.0, 0.5, -0.6, 0.1])


@pytest.fixture(params=[True, False], ids=["dynamixel-fast", "dynamixel-plain"])
def fast(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def line() -> Iterator[EmulatedLine]:
    endpoint = PacedPty(BAUD)
    with EmulatedLine(viperx_chain(), endpoint) as running:
        running.plant.position_rad[:] = START
        running.robot.settle()
        yield running


def make_bus(line: EmulatedLine, fast: bool, config: DynamixelConfig = PATIENT) -> DynamixelBus:
    return DynamixelBus(SerialPort(line.path, BAUD), replace(config, fast_sync=fast))


@pytest.fixture
def bus(line: EmulatedLine, fast: bool) -> Iterator[DynamixelBus]:
    made = make_bus(line, fast)
    made.open()
    yield made
    made.close()


def setpoint(position_rad: np.ndarray) -> SafeSetpoint:
    return SafeSetpoint(time.monotonic_ns(), position_rad)


def read_patiently(bus: JointBus) -> JointState:
    for _ in range(20):
        try:
            return bus.read_state()
        except BusTimeout:
            continue
    raise AssertionError("no state in 20 reads")


def goals(line: EmulatedLine) -> list[int]:
    return [line.servo(i).goal_ticks for i in VIPERX_IDS]


def torque(line: EmulatedLine) -> list[bool]:
    return [servo.has_torque for servo in line.bus.servos]


def test_it_is_a_joint_bus(bus: DynamixelBus) -> None:
    assert isinstance(bus, JointBus)


def test_opening_moves_nothing_and_leaves_torque_off(bus: JointBus, line: EmulatedLine) -> None:
    before = line.plant.position_rad.copy()
    read_patiently(bus)
    assert not any(torque(line))
    np.testing.assert_array_equal(line.plant.position_rad, before)


def test_opening_leaves_an_arm_that_holds_itself_alone(line: EmulatedLine, fast: bool) -> None:
    line.robot.hold()
    held = goals(line)
    line.servo(4).table[Register.BUS_WATCHDOG] = -1  # stopped there when an earlier host died
    bus = make_bus(line, fast)
    bus.open()
    assert all(torque(line)) and goals(line) == held
    assert line.servo(4).table[Register.BUS_WATCHDOG] == -1
    bus.close()
    assert all(torque(line)) and goals(line) == held


def test_a_reading_is_in_joint_order_and_in_rad(bus: JointBus) -> None:
    before_ns = time.monotonic_ns()
    state = read_patiently(bus)
    assert before_ns < state.stamp_ns < time.monotonic_ns()
    expected = START * PATIENT.directions + PATIENT.zero_offsets_rad
    np.testing.assert_allclose(state.position_rad, expected, atol=RAD_PER_TICK)
    for array in (state.position_rad, state.velocity_rad_s, state.current_ma):
        assert array.shape == (JOINTS,) and array.dtype == np.float64


def test_two_readings_share_no_memory(bus: JointBus) -> None:
    first = read_patiently(bus)
    kept = first.position_rad.copy()
    second = read_patiently(bus)
    second.position_rad[:] = 9.0
    np.testing.assert_array_equal(first.position_rad, kept)


def test_enabling_holds_the_measured_position_on_every_servo(
    bus: JointBus, line: EmulatedLine
) -> None:
    for servo in line.bus.servos:
        servo.table[Register.GOAL_POSITION] = 3000  # left over from another time
    bus.enable()
    assert all(torque(line))
    state = read_patiently(bus)
    expected = START * PATIENT.directions + PATIENT.zero_offsets_rad
    np.testing.assert_allclose(state.position_rad, expected, atol=1.5 * RAD_PER_TICK)


def test_a_setpoint_moves_the_joints_there(bus: JointBus, line: EmulatedLine) -> None:
    bus.enable()
    target = read_patiently(bus).position_rad + np.linspace(-0.2, 0.2, JOINTS)
    bus.write_setpoints(setpoint(target))
    assert eventually(
        lambda: bool(np.allclose(read_patiently(bus).position_rad, target, atol=2 * RAD_PER_TICK))
    )


def test_disabling_takes_torque_from_every_servo(bus: JointBus, line: EmulatedLine) -> None:
    bus.enable()
    bus.disable()
    assert not any(torque(line))


def test_disabling_disarms_the_watchdogs(line: EmulatedLine, fast: bool) -> None:
    bus = make_bus(line, fast, replace(PATIENT, watchdog_ms=2000))
    bus.open()
    bus.enable()
    assert {servo.table[Register.BUS_WATCHDOG] for servo in line.bus.servos} == {100}
    bus.disable()
    assert {servo.table[Register.BUS_WATCHDOG] for servo in line.bus.servos} == {0}
    bus.close()


def test_disabling_goes_on_past_a_servo_that_is_silent(bus: JointBus, line: EmulatedLine) -> None:
    bus.enable()
    line.bus.absent.add(1)
    with pytest.raises(BusTimeout, match=r"servo 1 does not answer"):
        bus.disable()
    assert [servo.servo_id for servo in line.bus.servos if servo.has_torque] == [1]


def test_enabling_verifies_the_servos_that_follow(bus: JointBus, line: EmulatedLine) -> None:
    line.servo(5).fail(0x20)
    with pytest.raises(DeviceError, match=r"servo 5 has no torque although its leader has"):
        bus.enable()
    assert not any(torque(line))


def test_closing_leaves_torque_on_and_may_be_repeated(bus: JointBus, line: EmulatedLine) -> None:
    bus.enable()
    bus.close()
    bus.close()
    assert all(torque(line))


def test_only_a_safe_setpoint_is_sent(bus: JointBus, line: EmulatedLine) -> None:
    class Lookalike:
        stamp_ns = 0
        position_rad = np.zeros(JOINTS)

    before = goals(line)
    for wrong in (np.zeros(JOINTS), [0.0] * JOINTS, None, Lookalike()):
        with pytest.raises(TypeError, match="SafeSetpoint"):
            bus.write_setpoints(wrong)  # type: ignore[arg-type]
    read_patiently(bus)  # whatever had been sent would have arrived before this
    assert goals(line) == before


@pytest.mark.parametrize("bad", [np.zeros(JOINTS - 1), np.zeros(JOINTS + 1), np.zeros((1, JOINTS))])
def test_a_setpoint_of_another_shape_is_refused(bus: JointBus, bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="shape"):
        bus.write_setpoints(setpoint(bad))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_setpoint_that_is_not_finite_is_refused(
    bus: JointBus, line: EmulatedLine, value: float
) -> None:
    before = goals(line)
    bad = np.zeros(JOINTS)
    bad[3] = value
    with pytest.raises(ValueError, match="not finite"):
        bus.write_setpoints(setpoint(bad))
    read_patiently(bus)
    assert goals(line) == before


def test_a_target_beyond_a_servos_limits_goes_to_the_limit(
    bus: JointBus, line: EmulatedLine
) -> None:
    bus.enable()
    bus.write_setpoints(setpoint(np.full(JOINTS, 3.3)))
    assert eventually(lambda: goals(line)[:2] == [4095, 0])


def test_one_lost_answer_is_repeated_and_not_noticed(bus: JointBus, line: EmulatedLine) -> None:
    losses = [b""]
    line.bus.tamper = lambda data: losses.pop() if losses else data
    assert bus.read_state().position_rad.shape == (JOINTS,)
    assert not losses


def test_one_corrupt_answer_is_repeated_and_not_believed(bus: JointBus, line: EmulatedLine) -> None:
    broken: list[bytes] = []

    def flip_once(data: bytes) -> bytes:
        if broken:
            return data
        broken.append(data)
        return data[:14] + bytes((data[14] ^ 0x10,)) + data[15:]

    clean = read_patiently(bus)
    line.bus.tamper = flip_once
    np.testing.assert_allclose(
        read_patiently(bus).position_rad, clean.position_rad, atol=RAD_PER_TICK
    )
    assert broken


def test_a_servo_that_stays_silent_is_a_timeout_that_names_it(
    line: EmulatedLine, fast: bool
) -> None:
    bus = make_bus(line, fast, HASTY)
    bus.open()
    line.bus.absent.add(6)
    with pytest.raises(BusTimeout, match=r"no answer from servo .*\b6\b"):
        bus.read_state()
    line.bus.absent.clear()
    assert read_patiently(bus).position_rad.shape == (JOINTS,)
    bus.close()


def test_an_answer_under_a_strangers_id_is_no_answer(line: EmulatedLine) -> None:
    bus = make_bus(line, False, HASTY)
    bus.open()

    def impostor(data: bytes) -> bytes:
        return codec.status(20, 0, data[9:-2]) if data[4] == 7 else data

    line.bus.tamper = impostor
    with pytest.raises(BusTimeout, match=r"^no answer from servo 7 "):
        bus.read_state()
    bus.close()


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(
    line: EmulatedLine, fast: bool
) -> None:
    bus = make_bus(line, fast, HASTY)
    bus.open()
    line.bus.tamper = lambda _: b""
    with pytest.raises(BusTimeout):
        bus.read_state()
    line.bus.tamper = None
    line.plant.position_rad[0] = 1.0
    line.robot.settle()
    assert eventually(lambda: abs(read_patiently(bus).position_rad[0] - 1.0) < 2 * RAD_PER_TICK)
    bus.close()


def test_opening_names_a_servo_that_is_not_there(line: EmulatedLine, fast: bool) -> None:
    line.bus.absent.add(5)
    bus = make_bus(line, fast)
    with pytest.raises(BusTimeout, match=r"servo 5 does not answer"):
        bus.open()
    line.bus.absent.clear()
    bus.open()  # the failed one gave the port back
    bus.close()


def test_opening_refuses_a_servo_in_another_mode(line: EmulatedLine, fast: bool) -> None:
    line.servo(7).table[Register.OPERATING_MODE] = 1
    with pytest.raises(DeviceError, match=r"servo 7 is in operating mode 1"):
        make_bus(line, fast).open()


def test_opening_refuses_a_shadow_that_follows_nobody(line: EmulatedLine, fast: bool) -> None:
    line.servo(3).table[Register.SECONDARY_ID] = 255
    with pytest.raises(DeviceError, match=r"servo 3 has secondary id 255"):
        make_bus(line, fast).open()


def test_opening_sets_the_return_delay_to_nothing(line: EmulatedLine, fast: bool) -> None:
    line.servo(8).table[Register.RETURN_DELAY_TIME] = 250
    bus = make_bus(line, fast)
    bus.open()
    assert line.servo(8).table[Register.RETURN_DELAY_TIME] == 0
    bus.close()


def test_a_hardware_error_is_named_while_running(bus: JointBus, line: EmulatedLine) -> None:
    bus.enable()
    line.servo(4).fail(0x20)
    with pytest.raises(DeviceError, match=r"servo 4 reports: overload"):
        bus.read_state()


def test_enabling_is_all_or_nothing(bus: JointBus, line: EmulatedLine) -> None:
    line.servo(9).fail(0x20)
    with pytest.raises(DeviceError, match=r"servo 9 refuses"):
        bus.enable()
    assert not any(torque(line))


def test_a_silent_host_trips_the_watchdog_and_must_enable_again(
    line: EmulatedLine, fast: bool
) -> None:
    bus = make_bus(line, fast, replace(PATIENT, watchdog_ms=300))
    bus.open()
    bus.enable()
    start = read_patiently(bus).position_rad
    assert eventually(lambda: line.bus.watchdog_trips >= JOINTS)
    with pytest.raises(DeviceError, match=r"bus watchdog tripped; enable again"):
        bus.write_setpoints(setpoint(start + 0.2))
    np.testing.assert_allclose(read_patiently(bus).position_rad, start, atol=2 * RAD_PER_TICK)
    bus.enable()
    bus.write_setpoints(setpoint(start + 0.1))
    assert eventually(lambda: all(line.servo(i).has_torque for i in VIPERX_IDS))
    bus.close()


def silent_for_long(bus: DynamixelBus) -> None:
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        with pytest.raises(BusTimeout):
            bus.read_state()


def test_a_servo_that_rebooted_while_it_was_silent_is_a_device_error_until_enabled(
    line: EmulatedLine, fast: bool
) -> None:
    bus = make_bus(line, fast, HASTY)
    bus.open()
    bus.enable()
    line.bus.absent.add(6)
    silent_for_long(bus)
    line.servo(6).table[Register.TORQUE_ENABLE] = 0
    line.bus.absent.clear()
    with pytest.raises(DeviceError, match=r"servo 6 was silent and has no torque: it rebooted"):
        read_patiently(bus)
    bus.enable()
    assert read_patiently(bus).position_rad.shape == (JOINTS,)
    assert all(torque(line))
    bus.close()


def test_a_servo_that_was_silent_and_kept_its_torque_goes_on(
    line: EmulatedLine, fast: bool
) -> None:
    bus = make_bus(line, fast, HASTY)
    bus.open()
    bus.enable()
    line.bus.absent.add(6)
    silent_for_long(bus)
    line.bus.absent.clear()
    assert read_patiently(bus).position_rad.shape == (JOINTS,)
    bus.close()


def test_a_pulled_cable_is_a_port_error_and_a_new_cable_works(tmp_path, fast: bool) -> None:  # type: ignore[no-untyped-def]
    link = tmp_path / "ttyDXL"
    config = replace(PATIENT, fast_sync=fast)
    bus = DynamixelBus(SerialPort(str(link), BAUD), config)
    with EmulatedLine(viperx_chain(), PacedPty(BAUD, link)):
        bus.open()
        read_patiently(bus)
    with pytest.raises(PortError, match="is gone"):
        bus.read_state()
    with pytest.raises(PortError, match="is gone"):
        bus.write_setpoints(setpoint(np.zeros(JOINTS)))
    bus.close()
    with pytest.raises(PortError, match="does not exist"):
        bus.open()
    with EmulatedLine(viperx_chain(), PacedPty(BAUD, link)):
        bus.open()
        assert read_patiently(bus).position_rad.shape == (JOINTS,)
        bus.close()


def test_the_bus_never_talks_over_the_servos(bus: JointBus, line: EmulatedLine) -> None:
    bus.enable()
    for _ in range(20):
        state = read_patiently(bus)
        bus.write_setpoints(setpoint(state.position_rad))
    assert line.robot.endpoint.collisions == 0
