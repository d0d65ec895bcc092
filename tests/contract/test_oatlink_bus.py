"""The contract of every ``JointBus``, for a bus with a controller of our own behind it.

The controller reports unasked, so a reading may be from up to a cycle before the call: the two
tests that depend on that stand here in a form of their own.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import numpy as np
import pytest

from firmware_bridge.emulation.controllers import QemuController
from firmware_bridge.errors import BusTimeout, DeviceError
from firmware_bridge.messages import SafeSetpoint
from firmware_bridge.oatlink import OatlinkBus
from tests.contract import test_every_protocol as suite
from tests.contract.oatlink_rigs import OATLINK_RIGS, OatlinkQemuRig, OatlinkRig
from tests.contract.rigs import HASTY, JOINTS
from tests.socketcan import hardware
from tests.socketcan.rigs import REAL_OATLINK_RIGS

bus, rig = suite.bus, suite.rig
OWN = (
    "test_a_reading_is_in_joint_order_and_in_rad",
    "test_a_device_that_stays_silent_is_a_timeout_that_names_it",
)


ALL_RIGS = OATLINK_RIGS | (REAL_OATLINK_RIGS if hardware.IS_HERE else {})


@pytest.fixture(params=ALL_RIGS.values(), ids=ALL_RIGS.keys())
def rig_kind(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    return request.param


globals().update(
    {
        name: test
        for name, test in vars(suite).items()
        if name.startswith("test_") and name not in OWN
    }
)


def test_a_reading_is_recent_in_joint_order_and_in_rad(bus: OatlinkBus, rig: OatlinkRig) -> None:
    suite.read_patiently(bus)
    first = suite.read_patiently(bus)
    state = suite.read_patiently(bus)
    assert first.stamp_ns < state.stamp_ns < time.monotonic_ns()
    np.testing.assert_allclose(state.position_rad, suite.expected_rad(), atol=rig.resolution_rad)
    for array in (state.position_rad, state.velocity_rad_s, state.current_ma):
        assert array.shape == (JOINTS,) and array.dtype == np.float64


def test_a_motor_that_stays_silent_becomes_a_timeout_that_names_it(rig: OatlinkRig) -> None:
    made = rig.bus(HASTY)
    made.open()
    rig.silence(4)

    def names_it() -> bool:
        try:
            made.read_state()
        except BusTimeout as error:
            return str(error) == "no answer from motor 5"
        return False

    assert suite.eventually(names_it)
    rig.unsilence(4)
    assert suite.read_patiently(made).position_rad.shape == (JOINTS,)
    made.close()


@pytest.fixture
def board() -> Iterator[OatlinkQemuRig]:
    made = OatlinkQemuRig()
    made.place(suite.START)
    yield made
    made.close()


def stream(made: OatlinkBus, ticks: int, step_rad: float = 0.0) -> None:
    """A host at 200 Hz; ``step_rad`` a tick on every joint. Raises what the bus raises."""
    position_rad = suite.read_patiently(made).position_rad
    for _ in range(ticks):
        position_rad = position_rad + step_rad
        made.write_setpoints(SafeSetpoint(time.monotonic_ns(), position_rad))
        time.sleep(0.005)


def accepted(made: OatlinkBus) -> int:
    suite.read_patiently(made)
    assert made.watch.telemetry is not None
    return made.watch.telemetry.accepted


def test_a_frozen_controllers_backlog_is_refused_as_of_another_time(board: OatlinkQemuRig) -> None:
    made, controller = board.bus(strict=True), board.controller
    assert isinstance(controller, QemuController)
    made.open()
    suite.enable_patiently(made)
    stream(made, 20, 0.002)
    before = accepted(made)
    goals = board.goals_rad()
    controller.stop()
    for tick in range(40):
        target = suite.expected_rad() + 0.04 + 0.002 * tick
        made.write_setpoints(SafeSetpoint(time.monotonic_ns(), target))
        time.sleep(0.01)
    controller.resume()
    with pytest.raises(
        DeviceError, match=r"silence; setpoints last refused: (future|stale|not arm)"
    ):
        for _ in range(200):
            time.sleep(0.01)
            made.write_setpoints(SafeSetpoint(time.monotonic_ns(), suite.expected_rad() + 0.1))
    assert made.watch.telemetry is not None
    # only what was sent within the allowance for clock errors (100 ms) of the stop
    assert (made.watch.telemetry.accepted - before) % 0x10000 < 20
    assert made.watch.telemetry.rejects >= 20
    np.testing.assert_allclose(board.goals_rad(), goals, atol=0.05)
    suite.enable_patiently(made)
    stream(made, 10)
    made.close()


def test_a_reset_in_motion_leaves_the_arm_holding_and_needs_enabling(board: OatlinkQemuRig) -> None:
    made, controller = board.bus(strict=True), board.controller
    assert isinstance(controller, QemuController)
    made.open()
    suite.enable_patiently(made)
    stream(made, 20, 0.002)
    assert made.watch.welcome is not None
    boot_id = made.watch.welcome.boot_id
    controller.reset()

    def speaks_of_enabling() -> bool:
        with contextlib.suppress(BusTimeout):
            made.read_state()
        try:
            made.write_setpoints(SafeSetpoint(time.monotonic_ns(), suite.expected_rad()))
        except DeviceError as error:
            return "enable" in str(error)
        return False

    assert suite.eventually(speaks_of_enabling)
    assert made.watch.welcome.boot_id != boot_id
    assert all(board.torque())
    assert suite.eventually(lambda: board.robot.bus.watchdog_trips >= JOINTS)
    stands_rad = suite.read_patiently(made).position_rad
    suite.enable_patiently(made)
    stream(made, 10)
    np.testing.assert_allclose(suite.read_patiently(made).position_rad, stands_rad, atol=0.02)
    made.close()
