"""The base's way to its dock and back, on wheels that do at once what they are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge.docking import Docking, FromDock
from edge.errors import ConfigError
from edge.robot import load_robot, parse_robot
from edge.robot_base import Base
from tests.unit.test_robot_buses import with_wheels

PERIOD_S = 0.05
BASE = {
    "left_wheel": "left_wheel",
    "right_wheel": "right_wheel",
    "wheel_radius_m": 0.1,
    "track_m": 0.4,
    "max_speed_m_s": 0.4,
    "max_turn_rad_s": 1.0,
    "pose": "base.pose",
    "dock": {"x_m": 1.0, "y_m": -2.0, "yaw_rad": 0.7},
}


def make_base() -> Base:
    return Base.model_validate(BASE)


def away(ahead_m: float, left_m: float, heading_rad: float) -> np.ndarray:
    """The pose on the floor of a place seen from the dock."""
    yaw = BASE["dock"]["yaw_rad"]  # type: ignore[index]
    x = 1.0 - ahead_m * np.cos(yaw) - left_m * np.sin(yaw)
    y = -2.0 - ahead_m * np.sin(yaw) + left_m * np.cos(yaw)
    return np.array([x, y, yaw + heading_rad])


def roll(pose: np.ndarray, wheels_rad_s: np.ndarray) -> np.ndarray:
    """Where a base of those wheels is a period later."""
    left, right = wheels_rad_s * 0.1
    speed, turn = (left + right) / 2, (right - left) / 0.4
    middle = pose[2] + turn * PERIOD_S / 2
    return pose + PERIOD_S * np.array([speed * np.cos(middle), speed * np.sin(middle), turn])


def test_a_pose_is_seen_from_the_dock_whichever_way_it_points() -> None:
    seen = Docking(make_base()).seen(away(0.8, 0.1, -0.2))
    assert (seen.ahead_m, seen.left_m, seen.heading_rad) == pytest.approx((0.8, 0.1, -0.2))


@pytest.mark.parametrize("left_m", [-0.25, -0.05, 0.0, 0.25])
@pytest.mark.parametrize("heading_rad", [-0.5, 0.0, 0.5])
def test_from_wherever_it_starts_it_ends_docked_and_never_beyond(
    left_m: float, heading_rad: float
) -> None:
    docking, pose = Docking(make_base()), away(1.0, left_m, heading_rad)
    for _ in range(1000):
        seen = docking.seen(pose)
        if seen.arrived:
            break
        pose = roll(pose, docking.approach(seen))
    assert docking.seen(pose).docked
    assert docking.seen(pose).ahead_m > -0.01


def test_on_its_way_out_it_backs_away_and_ends_turned_as_it_was_told() -> None:
    docking, pose = Docking(make_base()), away(0.0, 0.0, 0.0)
    for _ in range(1000):
        seen = docking.seen(pose)
        if seen.away:
            break
        wheels = docking.retreat(seen, 0.2)
        assert wheels.sum() < 0
        pose = roll(pose, wheels)
    assert docking.seen(pose).away
    assert docking.seen(pose).heading_rad == pytest.approx(0.2, abs=0.1)


def test_no_wheel_is_told_to_turn_faster_than_the_base_may() -> None:
    docking, random = Docking(make_base()), np.random.default_rng(1)
    for _ in range(500):
        seen = FromDock(*random.normal(0.0, 3.0, 3))
        for wheels in (docking.approach(seen), docking.retreat(seen, 0.2)):
            assert (np.abs(wheels) <= make_base().fastest_wheel_rad_s + 1e-9).all()


def test_arrived_it_is_told_to_stand() -> None:
    wheels = Docking(make_base()).approach(FromDock(0.0, 0.0, 0.0))
    assert wheels.tolist() == [0.0, 0.0]


def mobile(**changes: Any) -> dict[str, Any]:
    data = with_wheels()
    data["trackers"]["base.pose"] = {"socket": "/nowhere/base.socket"}
    data["base"] = BASE | changes
    return data


def test_a_base_is_made_of_the_joints_that_take_velocities() -> None:
    assert parse_robot(mobile(), "robot.yaml").base == make_base()
    for changes, words in (
        ({"left_wheel": "waist"}, "base: its wheels are waist and right_wheel, the joints"),
        ({"pose": "nobody"}, "base.pose is 'nobody', allowed are the trackers: base.pose"),
        ({"max_speed_m_s": 1.5}, "17.00 rad/s of a wheel, joint_limits.left_wheel.max_velocity"),
        ({"colour": "red"}, "unknown key 'base.colour'"),
    ):
        with pytest.raises(ConfigError) as error:
            parse_robot(mobile(**changes), "robot.yaml")
        assert words in str(error.value)


def test_another_protocol_is_not_put_on_both_buses() -> None:
    with pytest.raises(ConfigError, match=r"protocol=oatlink: .* has several buses .arm, base."):
        load_robot("mobile-viperx", bus={"protocol": "oatlink"})


def test_the_built_in_mobile_robot_has_two_buses_and_a_base() -> None:
    robot = load_robot("mobile-viperx")
    assert {name: bus.protocol for name, bus in robot.buses.items()} == {
        "arm": "dynamixel",
        "base": "odrive",
    }
    assert robot.base is not None
    assert [joint.name for joint in robot.velocity_joints] == ["left_wheel", "right_wheel"]
