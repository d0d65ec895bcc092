from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.bundle import Manifest
from edge.errors import BundleError, ConfigError, OatEdgeError
from edge.fit import check_fit
from edge.robot import built_in_robots, load_robot, parse_robot
from tests.edge_parts import POSE_KEY, make_manifest, make_robot, robot_data, without

BUNDLE = Path("b")


def complaint(data: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as error:
        parse_robot(data, "robot.yaml")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("robot.yaml: ")
    return str(error.value)


def test_the_built_in_robots_are_valid_and_emulated() -> None:
    assert "viperx" in built_in_robots()
    for name in built_in_robots():
        assert load_robot(name).emulated


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("servoo", "'servoo'"),
        ("servo__rate", "'servo.rate'"),
        ("joints__0__limit", "'joints.0.limit'"),
        ("joint_limits__waist__max_effort", "'joint_limits.waist.max_effort'"),
        ("buses__arm__speed", "'buses.arm.speed'"),
    ],
)
def test_an_unknown_key_is_fatal_and_named(path: str, key: str) -> None:
    assert f"unknown key {key}" in complaint(robot_data(**{path: 1}))


@pytest.mark.parametrize(
    "path",
    [
        "joint_limits__waist__min_position",
        "joint_limits__waist__max_position",
        "joint_limits__waist__max_velocity",
        "joint_limits__waist__max_acceleration",
        "joint_limits__waist__max_jerk",
        "servo__rate_hz",
        "joints__0__id",
        "joints__0__home_rad",
        "buses__arm__port",
    ],
)
def test_a_missing_key_is_named(path: str) -> None:
    assert f"missing key {path.replace('__', '.')!r}" in complaint(without(path))


BOUNDS = [
    ("servo__rate_hz", 9, 10, "greater than or equal to 10"),
    ("servo__rate_hz", 1001, 1000, "less than or equal to 1000"),
    ("servo__spin_us", -1, 0, "greater than or equal to 0"),
    ("planner__budget_us", 99, 100, "greater than or equal to 100"),
    ("planner__budget_us", 1_000_001, 1_000_000, "less than or equal to 1000000"),
    ("joints__0__id", -1, 0, "greater than or equal to 0"),
    ("joints__0__id", 253, 252, "less than or equal to 252"),
    ("joints__0__max_tracking_error_rad", 0, 1e-9, "greater than 0"),
    ("joint_limits__waist__max_velocity", 50.1, 50, "less than or equal to 50"),
    ("joint_limits__waist__max_velocity", 0, 1e-9, "greater than 0"),
    ("joint_limits__waist__max_acceleration", 2000.1, 2000, "less than or equal to 2000"),
    ("joint_limits__waist__max_position", 12.6, 12.5, "less than or equal to 12.56"),
    ("buses__arm__watchdog_ms", 19, 20, "greater than or equal to 20"),
]


@pytest.mark.parametrize(("path", "outside", "inside", "allowed"), BOUNDS)
def test_a_value_just_outside_is_refused_with_what_is_allowed_and_just_inside_it_is_not(
    path: str, outside: float, inside: float, allowed: str
) -> None:
    message = complaint(robot_data(**{path: outside}))
    assert f"{path.replace('__', '.')} is {outside!r}: " in message
    assert allowed in message
    jerk = {"joint_limits__waist__max_jerk": 8000.0} if "acceleration" in path else {}
    parse_robot(robot_data(**{path: inside}, **jerk), "robot.yaml")


def test_a_jerk_that_would_make_the_setpoints_lag_is_refused_just_below_its_bound() -> None:
    message = complaint(robot_data(joint_limits__waist__max_jerk=119.9))
    assert "max_jerk is 119.9, allowed is 120 or more" in message
    make_robot(joint_limits__waist__max_jerk=120.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "fast", None, [1]])
def test_a_limit_that_is_no_finite_number_is_refused(value: object) -> None:
    message = complaint(robot_data(joint_limits__waist__max_velocity=value))
    assert f"joint_limits.waist.max_velocity is {value!r}" in message


def test_a_limit_cannot_be_switched_off() -> None:
    for kind in ("position", "velocity", "acceleration", "jerk"):
        key = f"has_{kind}_limits"
        message = complaint(robot_data(**{f"joint_limits__waist__{key}": False}))
        assert f"joint_limits.waist.{key} is False" in message


def test_limits_in_the_wrong_order_are_refused() -> None:
    message = complaint(robot_data(joint_limits__waist__min_position=2.0))
    assert "joint_limits.waist: min_position 2.0 is not below max_position 2.0" in message


def test_a_home_outside_of_its_limits_is_refused() -> None:
    message = complaint(robot_data(joints__0__home_rad=2.01))
    assert "joints.waist.home_rad is 2.01, allowed is -1.0 to 2.0" in message
    make_robot(joints__0__home_rad=2.0)


def test_a_servo_id_stands_once_on_a_bus() -> None:
    message = complaint(robot_data(joints__1__id=1))
    assert "joints: bus and id ('arm', 1) stands twice" in message


def test_a_shadow_id_stands_once_on_a_bus_too() -> None:
    for shadows in ([2], [1], [7, 7]):
        message = complaint(robot_data(joints__0__shadow_ids=shadows))
        assert f"('arm', {shadows[-1]}) stands twice" in message
    assert "joints.0.shadow_ids.0 is 253" in complaint(robot_data(joints__0__shadow_ids=[253]))


def test_names_of_joints_limits_and_buses_belong_together() -> None:
    assert "name 'waist' stands twice" in complaint(robot_data(joints__1__name="waist"))
    assert "joint_limits: nothing for 'gripper'" in complaint(without("joint_limits__gripper"))
    extra = robot_data(joint_limits__wrist=robot_data()["joint_limits"]["waist"])
    assert "joint_limits: 'wrist' is unknown; known are gripper, waist" in complaint(extra)
    assert "'leg' is unknown; known are arm" in complaint(robot_data(joints__0__bus="leg"))


def write(folder: Path, text: str) -> str:
    path = folder / "robot.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a mapping of keys, got NoneType"),
        ("- a\n- b\n", "expected a mapping of keys, got list"),
        ("a: [1\n", "not proper YAML"),
        ("a: !!python/object/apply:os.getcwd []\n", "not proper YAML"),
    ],
)
def test_a_file_that_is_no_robot_is_refused_in_one_line(
    tmp_path: Path, text: str, words: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        load_robot(path)
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_key_that_stands_twice_is_fatal(tmp_path: Path) -> None:
    text = yaml.safe_dump(robot_data()) + "servo: {rate_hz: 100}\n"
    with pytest.raises(ConfigError, match="key 'servo' stands twice"):
        load_robot(write(tmp_path, text))


def test_a_robot_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ConfigError, match=r"no robot 'r2d2': neither a file nor one of .*viperx"):
        load_robot("r2d2")


def test_a_port_can_be_replaced_and_only_one_that_exists(tmp_path: Path) -> None:
    path = write(tmp_path, yaml.safe_dump(robot_data()))
    assert load_robot(path, {"arm": "/dev/x"}).buses["arm"].port == "/dev/x"
    with pytest.raises(ConfigError, match=r"has no 'leg'.*it has arm"):
        load_robot(path, {"leg": "/dev/x"})


def test_a_real_port_beside_an_emulated_tracker_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        load_robot("viperx", {"arm": "/dev/ttyUSB0"})
    assert "buses.arm.port is '/dev/ttyUSB0'" in str(error.value)
    assert "allowed are all real or all emulated" in str(error.value)


@pytest.mark.parametrize("buses", ["arm", ["arm"], {"arm": None}, {"arm": "x"}, None])
def test_broken_buses_are_no_crash_when_a_port_is_replaced(tmp_path: Path, buses: object) -> None:
    path = write(tmp_path, yaml.safe_dump(robot_data(buses=buses)))
    with pytest.raises(ConfigError, match="buses"):
        load_robot(path, {"arm": "/dev/x"})


def test_a_bundle_fits_the_robot_that_it_was_made_for() -> None:
    check_fit(make_robot(), make_manifest(), BUNDLE)


def action(**changes: Any) -> Manifest:
    return make_manifest(action=make_manifest().action.model_dump() | changes)


def three_joints() -> Manifest:
    return action(names=("a", "b", "c"), minimum=(0.0,) * 3, maximum=(1.0,) * 3)


def observing(**sizes: int) -> Manifest:
    features = [{"key": f"observation.{key}", "size": size} for key, size in sizes.items()]
    return make_manifest(observation=features)


@pytest.mark.parametrize(
    ("manifest", "words", "kind"),
    [
        (three_joints(), "acts on 3 joints, robot twojoint has 2", BundleError),
        (action(names=("gripper", "waist")), "robot twojoint has waist, gripper", BundleError),
        (action(unit="deg"), "acts in 'deg', allowed is 'rad'", BundleError),
        (action(rate_hz=30.0), "servo.rate_hz is 200, allowed are multiples of 30", ConfigError),
        (observing(state=3, command=2), "observation.state has 3 elements", BundleError),
        (observing(command=2, camera=4), "needs 'observation.camera'", ConfigError),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(
    manifest: Manifest, words: str, kind: type[OatEdgeError]
) -> None:
    with pytest.raises(kind) as error:
        check_fit(make_robot(), manifest, BUNDLE)
    assert words in str(error.value)


def test_a_feature_that_no_tracker_provides_is_named() -> None:
    with pytest.raises(ConfigError, match=f"needs '{POSE_KEY}'"):
        check_fit(make_robot(trackers={}), make_manifest(), BUNDLE)
