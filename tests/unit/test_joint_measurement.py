"""Measuring joints reading by reading, LeRobot's files, and how a robot takes joints over."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from calibration.joint_travel import Continuous, Subject
from calibration.joints import STILL_READINGS, JointMeasurement, Step
from calibration.lerobot import Owner, import_lerobot
from edge.commands.main import app
from edge.errors import ConfigError, UsageError
from edge.joint_calibration import JointCalibration, load_joint_calibration
from edge.robot import Robot, load_robot
from tests.edge_parts import robot_data

TICK_RAD = 2 * math.pi / 4096
MARGIN_RAD = 0.02


def measurement(reference_rad: float = 0.0) -> JointMeasurement:
    return JointMeasurement(
        [Subject("a", 1, 1, reference_rad), Subject("b", 2, -1, 0.0)], MARGIN_RAD
    )


def feed(m: JointMeasurement, *angles: float, times: int = 1) -> None:
    for _ in range(times):
        m.feed(np.array(angles))


def at_travel(
    reference_rad: float = 0.0, posture: tuple[float, float] = (0.5, -0.5)
) -> JointMeasurement:
    """Posture taken, directions kept."""
    m = measurement(reference_rad)
    feed(m, *posture, times=STILL_READINGS)
    m.confirm()
    m.skip()
    m.skip()
    assert m.step is Step.TRAVEL
    return m


def test_a_posture_is_taken_only_when_every_joint_stands_still() -> None:
    m = measurement()
    for angle in np.linspace(0, 0.4, STILL_READINGS):
        feed(m, 0.0, float(angle))
    m.confirm()
    assert m.step is Step.POSTURE
    assert m.notice == "hold still: b moves"
    feed(m, 0.0, 0.5, times=STILL_READINGS - 1)
    assert m.step is Step.POSTURE, "the window still holds a moving reading"
    feed(m, 0.0, 0.5)
    assert m.step is Step.DIRECTION
    assert m.notice == ""


def test_the_posture_cannot_be_skipped() -> None:
    m = measurement()
    m.skip()
    assert m.step is Step.POSTURE
    assert "cannot be skipped" in m.notice


def test_a_direction_is_the_sign_of_what_the_asked_joint_moved_by() -> None:
    m = measurement()
    feed(m, 0.0, 0.0, times=STILL_READINGS)
    m.confirm()
    feed(m, -0.1, 2.0)
    m.confirm()
    assert m.prompt.startswith("Move a ")
    assert m.notice == "a moved by -6° only"
    feed(m, -0.2, 2.0)
    m.confirm()
    assert m.prompt.startswith("Move b "), "what b did before it was asked for counts for nothing"
    m.confirm()
    assert m.notice == "b moved by 0° only"
    feed(m, -0.2, 2.2)
    m.confirm()
    assert [row.direction for row in m.rows()] == [-1, 1]


def test_limits_lie_within_the_stops_by_the_margin() -> None:
    m = at_travel(reference_rad=0.1)
    for angle in (0.5, -0.7, 1.3):
        feed(m, angle, angle)
    m.confirm()
    assert m.step is Step.DONE
    a, b = m.result("r", "").joints.values()
    assert (a.direction, a.zero_rad) == (1, pytest.approx(-0.4))
    assert (a.min_position, a.max_position) == (pytest.approx(-1.08), pytest.approx(0.88))
    assert (b.direction, b.zero_rad) == (-1, pytest.approx(-0.5))
    assert (b.min_position, b.max_position) == (pytest.approx(-1.78), pytest.approx(0.18))


def test_skipping_travel_leaves_unmoved_joints_without_limits() -> None:
    m = at_travel()
    feed(m, 0.5, -0.5)
    feed(m, 1.5, -0.5)
    m.confirm()
    assert m.notice == "not moved from stop to stop yet: b"
    m.skip()
    a, b = m.result("r", "").joints.values()
    assert a.max_position == pytest.approx(1.0 - MARGIN_RAD)
    assert (b.min_position, b.max_position) == (None, None)


def test_a_joint_that_turns_freely_has_no_limits() -> None:
    m = at_travel()
    for angle in np.arange(0.5, 0.8 + 2 * math.pi, 0.3):
        feed(m, float(math.remainder(angle, 2 * math.pi)), -0.5)
    m.skip()
    assert m.result("r", "").joints["a"].min_position is None


def test_a_servo_that_counts_anew_within_the_travel_is_refused_by_name() -> None:
    m = at_travel()
    for angle in np.arange(2.5, 4.0, 0.3):
        feed(m, float(math.remainder(angle, 2 * math.pi)), -0.5)
    m.skip()
    with pytest.raises(ValueError, match=r"^a: its servo wraps round within the travel"):
        m.result("r", "")


def test_turns_before_the_posture_are_forgotten() -> None:
    m = measurement()
    for angle in np.arange(0.0, 2 * math.pi + 0.5, 0.3):
        feed(m, float(math.remainder(angle, 2 * math.pi)), 0.0)
    feed(m, 0.4, 0.0, times=STILL_READINGS)
    m.confirm()
    m.skip()
    m.skip()
    for angle in (0.4, 1.0):
        feed(m, angle, 0.0)
    m.skip()
    made = m.result("r", "").joints["a"]
    assert made.zero_rad == pytest.approx(-0.4)
    assert made.max_position == pytest.approx(0.6 - MARGIN_RAD)


def test_a_zero_beyond_half_a_turn_is_refused_by_name() -> None:
    m = at_travel(reference_rad=3.0, posture=(-0.5, 0.0))
    m.skip()
    with pytest.raises(ValueError, match=r"^a: its zero is 201° from its servo's centre"):
        m.result("r", "")


def test_angles_are_followed_across_the_jump_of_a_turn() -> None:
    follow = Continuous(2)
    path = np.arange(0.0, 8.0, 0.5)
    taken = [follow.take(np.array([math.remainder(x, 2 * math.pi), 0.0]))[0] for x in path]
    np.testing.assert_allclose(taken, path)
    assert follow.wrapped.tolist() == [True, False]


def motor(**changes: int) -> dict[str, int]:
    fields = {"id": 1, "drive_mode": 0, "homing_offset": -300, "range_min": 1000, "range_max": 3000}
    return fields | changes


def imported(motors: dict[str, Any], *owners: Owner) -> JointCalibration:
    return import_lerobot(json.dumps(motors).encode(), "r", owners)


def test_lerobots_zero_is_the_middle_of_the_range() -> None:
    made = imported({"m": motor()}, Owner("a", 1, (), "feetech")).joints["a"]
    assert made.zero_rad == pytest.approx(48 * TICK_RAD, abs=1e-6)
    assert made.max_position == pytest.approx(1000 * TICK_RAD, abs=1e-6)
    assert made.min_position == pytest.approx(-1000 * TICK_RAD, abs=1e-6)
    middle = imported({"m": motor()}, Owner("a", 1, (), "feetech", middle_rad=0.5)).joints["a"]
    assert middle.zero_rad == pytest.approx(made.zero_rad + 0.5)
    assert middle.max_position == pytest.approx(1000 * TICK_RAD + 0.5, abs=1e-6)


@pytest.mark.parametrize(("protocol", "direction"), [("feetech", -1), ("dynamixel", 1)])
def test_a_drive_mode_is_undone_where_the_servo_does_not_do_it(
    protocol: str, direction: int
) -> None:
    made = imported({"m": motor(drive_mode=1)}, Owner("a", 1, (), protocol)).joints["a"]
    assert made.direction == direction
    assert made.zero_rad == pytest.approx(direction * 48 * TICK_RAD, abs=1e-6)


def test_lerobots_full_turn_has_no_limits() -> None:
    made = imported({"m": motor(range_min=0, range_max=4095)}, Owner("a", 1, (), "feetech"))
    assert made.joints["a"].min_position is None


def test_motors_are_told_by_id_and_shadows_are_not_needed() -> None:
    owner = Owner("shoulder", 2, (3,), "dynamixel")
    both = imported({"x": motor(id=2), "x_shadow": motor(id=3)}, owner)
    assert both == imported({"anything": motor(id=2)}, owner)


@pytest.mark.parametrize(
    ("motors", "words"),
    [
        ({"m": motor(id=9)}, "motor 'm' has id 9, which no joint"),
        ({"m": motor(), "n": motor()}, "motor 'n' has id 1, and so has another"),
        ({}, "no motor has id 1, which is joint 'a'"),
        ({"m": motor(range_max=1000)}, "range_min 1000 is not below"),
        ({"m": motor(drive_mode=2)}, "m.drive_mode is 2"),
        ({"m": {"id": 1}}, "missing key 'm.drive_mode'"),
        ({"m": motor(x=1)}, "unknown key 'm.x'"),
        ([], "valid dictionary|object"),
    ],
)
def test_a_file_that_is_not_lerobots_is_refused_in_one_line(motors: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        imported(motors, Owner("a", 1, (), "feetech"))
    assert "\n" not in str(error.value)


JOINTS: dict[str, dict[str, Any]] = {
    "waist": {
        "id": 1,
        "direction": -1,
        "zero_rad": 0.25,
        "min_position": -0.5,
        "max_position": 9.0,
    },
    "gripper": {"id": 2, "direction": 1, "zero_rad": -0.1},
}


def calibrated_robot(folder: Path, joints: Any = JOINTS, **changes: Any) -> Robot:
    head = {"format": "oat-edge joint calibration", "version": 1, "robot": "twojoint"}
    (folder / "joints.yaml").write_text(yaml.safe_dump(head | {"joints": joints} | changes))
    data = robot_data(calibration="joints.yaml")
    (folder / "robot.yaml").write_text(yaml.safe_dump(data))
    return load_robot(str(folder / "robot.yaml"))


def test_a_robot_takes_zeros_and_directions_over_and_limits_only_if_narrower(
    tmp_path: Path,
) -> None:
    robot = calibrated_robot(tmp_path)
    assert [joint.direction for joint in robot.joints] == [-1, 1]
    assert [joint.zero_rad for joint in robot.joints] == [0.25, -0.1]
    limits = robot.joint_limits["waist"]
    assert (limits.min_position, limits.max_position) == (-0.5, 2.0)
    assert robot.joint_limits["gripper"].min_position == -1.0
    assert Robot.model_validate_json(robot.model_dump_json(exclude_unset=True)) == robot


def test_a_calibration_given_beside_goes_before_the_one_that_is_named(tmp_path: Path) -> None:
    calibrated_robot(tmp_path)
    other = tmp_path / "other.yaml"
    other.write_text((tmp_path / "joints.yaml").read_text().replace("0.25", "0.5"))
    robot = load_robot(str(tmp_path / "robot.yaml"), calibration=other)
    assert robot.joints[0].zero_rad == 0.5
    (tmp_path / "joints.yaml").unlink()
    assert load_robot(str(tmp_path / "robot.yaml"), uncalibrated=True).joints[0].zero_rad == 0.0


def changed(joint: str, **fields: Any) -> dict[str, Any]:
    return JOINTS | {joint: JOINTS[joint] | fields}


@pytest.mark.parametrize(
    ("joints", "words"),
    [
        ({"waist": JOINTS["waist"]}, "nothing for joint 'gripper'"),
        (
            JOINTS | {"elbow": JOINTS["waist"]},
            "joint 'elbow' is unknown; the robot has waist, grip",
        ),
        (changed("waist", id=7), "'waist' was measured on servo 7, the robot has servo 1 there"),
        (changed("waist", direction=0), "joints.waist.direction is 0"),
        (changed("waist", zero_rad=3.2), "joints.waist.zero_rad is 3.2"),
        (changed("waist", zero_rad=float("nan")), "joints.waist.zero_rad is nan"),
        (changed("waist", min_position=None), "stand together"),
        (changed("waist", min_position=9.0), "min_position 9.0 is not below max_position 9.0"),
        (changed("waist", min_position=0.6), "joints.waist.home_rad is 0.5, allowed is 0.6 to 2.0"),
        (changed("waist", min_position=2.5), "min_position 2.5 is not below max_position 2.0"),
        (changed("waist", ticks=1), "unknown key 'joints.waist.ticks'"),
        ([], "joints is []"),
    ],
)
def test_a_calibration_that_does_not_fit_is_refused_with_file_and_key(
    tmp_path: Path, joints: Any, words: str
) -> None:
    with pytest.raises(ConfigError) as error:
        calibrated_robot(tmp_path, joints)
    assert words in str(error.value)
    assert "joints.yaml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"version": 2}, "version is 2: input should be 1"), ({"format": "x"}, "format is 'x'")],
)
def test_another_format_of_calibration_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        calibrated_robot(tmp_path, **changes)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"- 1\n", b"a: [", None])
def test_a_calibration_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "joints.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"joints\.yaml") as error:
        load_joint_calibration(path)
    assert "\n" not in str(error.value)


def command(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["calibrate", "joints", *map(str, arguments)])


def test_the_command_takes_lerobots_file_over(tmp_path: Path) -> None:
    (tmp_path / "robot.yaml").write_text(yaml.safe_dump(robot_data(calibration="joints.yaml")))
    motors = {"a": motor(id=1), "b": motor(id=2, range_min=1900)}
    (tmp_path / "arm.json").write_text(json.dumps(motors))
    out = tmp_path / "joints.yaml"
    arguments = (tmp_path / "robot.yaml", "--out", out, "--import-lerobot", tmp_path / "arm.json")
    result = command(*arguments, "--reference", "gripper=0.5")
    assert result.exit_code == 0, result.output
    robot = load_robot(str(tmp_path / "robot.yaml"))
    assert robot.joints[0].zero_rad == pytest.approx(48 * TICK_RAD, abs=1e-6)
    assert robot.joint_limits["gripper"].min_position == pytest.approx(
        0.5 - 550 * TICK_RAD, abs=1e-6
    )
    assert isinstance(command(*arguments).exception, UsageError), "a second time it is there"
    assert command(*arguments, "--force").exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"robot.yaml", "arm.json", "joints.yaml"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "bus arm is emulated: give --port arm=DEVICE"),
        (["--port", "leg=/dev/x"], "no bus 'leg'; there is arm"),
        (["--port", "arm"], "NAME=VALUE"),
        (["--reference", "knee=1"], "no joint 'knee'"),
        (["--reference", "waist=up"], "no number"),
        (["--reference", "waist=nan"], "allowed is -7 to 7 rad"),
        (["--import-lerobot", "/nowhere.json"], "/nowhere.json: No such file"),
    ],
)
def test_a_wrong_use_is_one_line(tmp_path: Path, options: list[str], words: str) -> None:
    result = command("viperx", "--out", tmp_path / "j.yaml", *options)
    assert isinstance(result.exception, UsageError)
    assert words in str(result.exception)
    assert not (tmp_path / "j.yaml").exists()
