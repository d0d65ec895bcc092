"""The arm on its base: physics of both, and the wheels' axes on a CAN bus of the same loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("mujoco")

from firmware_bridge.can_bus.bit_time import BitRates
from firmware_bridge.emulation.chains import viperx_chain
from firmware_bridge.emulation.hosted_can import HostedCan
from firmware_bridge.emulation.motor import MotorPlant
from firmware_bridge.emulation.odrive_axis import ODriveAxis
from firmware_bridge.emulation.robot import EmulatedRobot
from firmware_bridge.emulation.shared_line import SharedPty
from firmware_bridge.errors import BusTimeout, PortError
from firmware_bridge.joint_map import JointMap
from firmware_bridge.protocols import BusOptions, load_protocols
from models.tasks.viperx.lift import HOME_RAD
from models.tasks.viperx.mobile_plant import DOCKED, MobileViperXPlant
from tests.contract.rigs import short_runtime_directory

WHEEL_RADIUS_M = 0.085


@pytest.fixture(scope="module")
def plant() -> MobileViperXPlant:
    return MobileViperXPlant()


def turn(plant: MobileViperXPlant, left_rad: float, right_rad: float, ticks: int = 200) -> None:
    """Turn the wheels by so much, evenly, and wait for them."""
    start = plant.base.position_rad
    for tick in range(1, ticks + 1):
        plant.base.set_goal(start + np.array([left_rad, right_rad]) * tick / ticks)
        plant.step(5)
    plant.step(200)


def test_at_its_dock_the_arm_sees_the_cube_where_the_world_has_it(plant: MobileViperXPlant) -> None:
    plant.reset(np.random.default_rng(1))
    np.testing.assert_allclose(plant.base_pose, DOCKED, atol=2e-3)
    world = plant.data.qpos[plant._cube_q : plant._cube_q + 3]
    np.testing.assert_allclose(plant.cube_pose[:3], world, atol=3e-3)
    assert abs(plant.cube_height_m) < 1e-3


def test_wheels_that_turn_alike_drive_it_straight_and_the_cube_comes_nearer(
    plant: MobileViperXPlant,
) -> None:
    plant.reset(np.random.default_rng(2))
    plant.set_base_pose(np.array([-1.0, 0.1, 0.0]))
    plant.step(100)
    before, cube = plant.base_pose, plant.cube_pose
    turn(plant, 4.0, 4.0)
    moved = plant.base_pose - before
    np.testing.assert_allclose(moved, [4.0 * WHEEL_RADIUS_M, 0.0, 0.0], atol=0.01)
    np.testing.assert_allclose((plant.cube_pose - cube)[:2], -moved[:2], atol=0.01)


def test_wheels_that_turn_against_each_other_turn_it_on_the_spot(plant: MobileViperXPlant) -> None:
    plant.reset(np.random.default_rng(3))
    plant.set_base_pose(np.array([-1.0, 0.0, 0.0]))
    plant.step(100)
    turn(plant, -1.0, 1.0)
    x, y, yaw = plant.base_pose - [-1.0, 0.0, 0.0]
    assert abs(x) < 0.02 and abs(y) < 0.02
    assert yaw == pytest.approx(2.0 * WHEEL_RADIUS_M / 0.4, abs=0.02)


def test_the_base_stands_while_the_arm_works(plant: MobileViperXPlant) -> None:
    plant.reset(np.random.default_rng(4))
    before = plant.base_pose
    for tick in range(200):
        swing = 0.4 * np.sin(tick / 15) * np.array([1, 1, 1, 0, 1, 0, 0])
        plant.set_goal(HOME_RAD + swing)
        plant.step(5)
    plant.set_goal(HOME_RAD)
    plant.step(300)
    np.testing.assert_allclose(plant.base_pose, before, atol=0.005)


def test_it_starts_about_a_metre_away_wherever_the_seed_says(plant: MobileViperXPlant) -> None:
    poses = []
    for seed in (1, 2):
        plant.reset(np.random.default_rng(seed))
        plant.place_base(np.random.default_rng(seed))
        poses.append(plant.base_pose)
    assert all(-1.2 < pose[0] < -0.9 for pose in poses)
    assert np.abs(poses[0] - poses[1]).max() > 0.01


@contextmanager
def served(plant: MobileViperXPlant, channel: str) -> Iterator[list[ODriveAxis]]:
    """The plant's two lines in one loop, in a thread."""
    line = SharedPty(1_000_000)
    arm = EmulatedRobot(plant, viperx_chain(), line)
    arm.hold()
    axes = [ODriveAxis(0, 0), ODriveAxis(1, 1)]
    motion = MotorPlant(plant.base, axes)
    plant.before_steps = motion.aim

    def measure(now_ns: int) -> None:
        arm.catch_up(now_ns)
        motion.publish()

    line.beside.append(HostedCan(channel, BitRates(), axes, measure))
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            arm.run_until(time.monotonic_ns() + 10_000_000)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield axes
    finally:
        stop.set()
        thread.join()
        line.close()


def test_axes_beside_the_arms_line_answer_on_their_bus_and_a_channel_has_one_bus() -> None:
    plant = MobileViperXPlant()
    with short_runtime_directory(), served(plant, "wheels"):
        joints = JointMap((0, 1), takes_velocity=(True, True))
        bus = load_protocols("odrive")["odrive"].make_bus(
            "oatcan:wheels", joints, BusOptions(watchdog_ms=0, patience=50)
        )
        bus.open()
        try:
            bus.enable()
            state = bus.read_state()
            with pytest.raises(PortError, match="channel wheels has a bus already"):
                HostedCan("wheels", BitRates(), [], lambda now_ns: None)
        except BusTimeout as error:
            raise AssertionError("axes that are served did not answer") from error
        finally:
            bus.close()
    np.testing.assert_allclose(state.velocity_rad_s, 0.0, atol=0.05)
