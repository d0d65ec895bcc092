"""Buses of a robot.yaml: every protocol is served from it, and what does not fit is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.buses import build_one
from edge.errors import ConfigError
from edge.robot import Robot, parse_robot
from edge.robot_buses import BUILT_IN_WIRES, EMULATED
from edge.safety import Limits, SafetyFilter
from edge.session import Session
from firmware_bridge.bus import JointBus
from firmware_bridge.emulation.plant import FirstOrderPlant
from firmware_bridge.errors import BusTimeout
from firmware_bridge.messages import SafeSetpoint
from firmware_bridge.protocols import LineOptions, load_protocols
from tests.contract.rigs import short_runtime_directory
from tests.edge_parts import robot_data

PROTOCOLS = load_protocols()
WHEEL_LIMITS = {
    "has_position_limits": False,
    "max_velocity": 10.0,
    "max_acceleration": 20.0,
    "max_jerk": 400.0,
}


@pytest.fixture(autouse=True)
def runtime_directory() -> Iterator[None]:
    with short_runtime_directory():
        yield


def on_bus(protocol: str, port: str = "", **settings: Any) -> dict[str, Any]:
    """The robot of two joints with one bus of a protocol."""
    address = port or ("socketcan:can0" if BUILT_IN_WIRES[protocol] != "serial" else "/dev/ttyX")
    data = robot_data(buses={"arm": {"protocol": protocol, "port": address, **settings}})
    spec = PROTOCOLS.get(protocol)
    for index, joint in enumerate(data["joints"]):
        joint["id"] = (spec.first_id if spec else 1) + index
    return data


def with_wheels(protocol: str = "odrive", **settings: Any) -> dict[str, Any]:
    """The robot of two joints, and two wheels on a second bus."""
    data = robot_data(groups={"base": {"control": "velocity"}})
    data["buses"]["base"] = {"protocol": protocol, "port": "oatcan:wheels", **settings}
    for index, name in enumerate(("left_wheel", "right_wheel")):
        data["joints"].append({"name": name, "group": "base", "bus": "base", "id": index})
        data["joint_limits"][name] = dict(WHEEL_LIMITS)
    return data


def robot(data: dict[str, Any]) -> Robot:
    return parse_robot(data, "robot.yaml")


def complaint(data: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as error:
        robot(data)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_table_of_wires_is_that_of_the_installed_protocols() -> None:
    installed = {name: spec.wire for name, spec in PROTOCOLS.items()}
    assert installed == BUILT_IN_WIRES


@contextmanager
def emulated(protocol: str, folder: Path) -> Iterator[str]:
    line = LineOptions(link=folder / "tty", channel="demo")
    emulation = PROTOCOLS[protocol].make_emulation(FirstOrderPlant(2), "simple", line)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            emulation.run_until(time.monotonic_ns() + 10_000_000)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield emulation.address
    finally:
        stop.set()
        thread.join()
        emulation.close()


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_every_protocol_is_served_from_robot_yaml(protocol: str, tmp_path: Path) -> None:
    with emulated(protocol, tmp_path) as address:
        data = on_bus(protocol, address, read_budget_us=100_000)
        data["joints"][0]["zero_rad"] = 0.25
        data["joints"][0]["direction"] = -1
        bus = build_one(robot(data), "arm")
        bus.open()
        try:
            state = bus.read_state()
        finally:
            bus.close()
    np.testing.assert_allclose(state.position_rad, [0.25, 0.0], atol=1e-3)


def test_oatlink_is_built_from_robot_yaml_too() -> None:
    assert build_one(robot(on_bus("oatlink", lead_ms=15)), "arm") is not None


def test_each_bus_gets_its_own_joints_alone() -> None:
    made = robot(with_wheels())
    assert len(build_one(made, "arm")._config.ids) == 2  # type: ignore[attr-defined]
    assert build_one(made, "base")._ids == (0, 1)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("protocol", "settings", "words"),
    [
        ("odrive", {"baud": 115_200}, "baud is 115200: odrive has no such setting, only serial"),
        ("odrive", {"data_bitrate": 5_000_000}, "data_bitrate is 5000000: odrive has no such"),
        ("dynamixel", {"bitrate": 500_000}, "bitrate is 500000: dynamixel has no such setting"),
        ("feetech", {"fast_sync_read": False}, "fast_sync_read is False: feetech has no such"),
        ("feetech", {"watchdog_ms": 100}, "watchdog_ms: feetech has no such setting"),
        ("dynamixel", {"lead_ms": 12}, "lead_ms is 12.0: dynamixel has no such setting"),
        ("moteus", {"port": "can0"}, "port is 'can0': moteus runs on CAN, allowed is interface:"),
        ("odrive", {"speed": 1}, "unknown key 'buses.arm.speed'"),
    ],
)
def test_a_setting_that_the_protocol_lacks_is_refused(
    protocol: str, settings: dict[str, Any], words: str
) -> None:
    assert words in complaint(on_bus(protocol, **settings))


def test_an_unknown_protocol_is_refused_with_those_that_there_are() -> None:
    message = complaint(on_bus("dynamixel") | {"buses": {"arm": {"protocol": "x", "port": "y"}}})
    assert "protocol is 'x', allowed are cia402, damiao, dynamixel" in message


def test_what_a_protocol_would_ignore_is_refused() -> None:
    data = on_bus("feetech")
    data["joints"][0]["shadow_ids"] = [9]
    with pytest.raises(ConfigError, match="feetech knows no shadows"):
        build_one(robot(data), "arm")
    data = on_bus("dynamixel")
    data["joints"][1]["gear_ratio"] = 2
    with pytest.raises(ConfigError, match="dynamixel knows no gears"):
        build_one(robot(data), "arm")
    with pytest.raises(ConfigError, match="damiao knows no velocities"):
        build_one(robot(with_wheels("damiao")), "base")


def test_an_id_beyond_the_protocols_range_names_the_bus() -> None:
    data = with_wheels()
    data["joints"][3]["id"] = 63
    with pytest.raises(ConfigError, match=r"buses.base: ids: \(0, 63\)"):
        build_one(robot(data), "base")


@pytest.mark.parametrize(
    ("joint", "key", "value", "words"),
    [
        (2, "home_rad", 0.0, "joints.left_wheel.home_rad is 0.0: a joint that takes velocities"),
        (2, "max_tracking_error_rad", 0.1, "joints.left_wheel.max_tracking_error_rad is 0.1"),
        (2, "group", "arm", "joint_limits.left_wheel.has_position_limits is False"),
        (0, "group", "base", "joint_limits.waist.has_position_limits is True, allowed is false"),
        (0, "home_rad", None, "missing key 'joints.0.home_rad'"),
    ],
)
def test_positions_and_velocities_are_not_mixed_up(
    joint: int, key: str, value: object, words: str
) -> None:
    data = with_wheels()
    data["joints"][joint][key] = value
    assert words in complaint(data)


def test_a_wheel_has_no_position_limits() -> None:
    data = with_wheels()
    data["joint_limits"]["left_wheel"]["min_position"] = -1.0
    assert "joint_limits.left_wheel.min_position is -1.0" in complaint(data)
    made = robot(with_wheels())
    assert made.joint_limits["left_wheel"].upper_rad == float("inf")
    assert [joint.name for joint in made.velocity_joints] == ["left_wheel", "right_wheel"]


def test_a_session_brings_a_robot_of_several_buses_across_unchanged(tmp_path: Path) -> None:
    data = with_wheels(bitrate=500_000)
    data["buses"]["arm"]["port"] = data["buses"]["base"]["port"] = EMULATED
    data["trackers"] = {}
    made = Session(directory=tmp_path, robot=robot(data), bundle=tmp_path, seed=1)
    made.save()
    assert Session.load(str(tmp_path)) == made


def test_wheels_turn_at_the_velocity_of_a_setpoint_and_stand_at_none(tmp_path: Path) -> None:
    with emulated("odrive", tmp_path) as address:
        data = with_wheels(read_budget_us=100_000)
        data["buses"]["base"]["port"] = address
        data["joints"][3]["direction"] = -1
        data["joints"][3]["gear_ratio"] = 2.0
        made = robot(data)
        bus = build_one(made, "base")
        bus.open()
        try:
            bus.enable()
            start_rad = positions(bus)
            turned = drive_until(bus, made, 1.0, lambda state: abs(state - start_rad).min() > 0.5)
            assert (turned > start_rad).all()
            resting = drive_until(bus, made, 0.0, lambda state: False, ticks=100)
            np.testing.assert_allclose(positions(bus), resting, atol=1e-3)
            with pytest.raises(ValueError, match="setpoint has no velocities"):
                bus.write_setpoints(no_velocities())
        finally:
            bus.close()


def drive_until(
    bus: JointBus,
    made: Robot,
    velocity_rad_s: float,
    done: Callable[[np.ndarray], bool],
    ticks: int = 4000,
) -> np.ndarray:
    """Command both wheels through a safety filter; where they are when it is done."""
    limits = Limits.of(made)
    safety = SafetyFilter(("a", "b", "left", "right"), limits, 0.005)
    safety.engage(np.zeros(4))
    reference = np.array([0.0, 0.0, velocity_rad_s, velocity_rad_s])
    for tick in range(ticks):
        setpoint = safety.track(reference, tick)
        assert isinstance(setpoint, SafeSetpoint)
        bus.write_setpoints(setpoint.part(np.array([2, 3])))
        position_rad = positions(bus)
        if done(position_rad):
            return position_rad
    return position_rad


def positions(bus: JointBus) -> np.ndarray:
    """Where the joints are; a busy machine may lose answers."""
    for _ in range(100):
        with suppress(BusTimeout):
            return bus.read_state().position_rad
    raise AssertionError("no answer at all")


def no_velocities() -> SafeSetpoint:
    """What the filter makes for a robot without wheels."""
    wide = np.ones(2)
    safety = SafetyFilter(("a", "b"), Limits(-wide, wide, wide, wide, wide, wide), 0.005)
    safety.engage(np.zeros(2))
    setpoint = safety.decelerate(0)
    assert isinstance(setpoint, SafeSetpoint)
    return setpoint
