"""What ``oat-edge run`` refuses before anything is started: one line, and the right exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.edge_bundle import write_bundle
from tests.edge_parts import make_manifest
from tests.hil.robot_run import robot_yaml, start
from tests.hil.test_run_viperx import assert_refused

JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")


def bundle_for(folder: Path, joints: tuple[str, ...], poses: int = 7, task: str = "none") -> Path:
    """A bundle whose manifest fits so many joints; its graphs are never opened here."""
    n = len(joints)
    action = make_manifest().action.model_dump(mode="json") | {
        "names": joints,
        "minimum": [-1.0] * n,
        "maximum": [1.0] * n,
    }
    sizes = {"state": n, "environment_state": poses, "command": n}
    observation = [{"key": f"observation.{key}", "size": size} for key, size in sizes.items()]
    return write_bundle(folder / "bundle", action=action, observation=observation, task=task)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"servo__rate": 100}, "unknown key 'servo.rate'"),
        ({"servo__rate_hz": 5000}, "servo.rate_hz is 5000: input should be less than or equal to"),
        ({"joint_limits__elbow__max_velocity": float("nan")}, "joint_limits.elbow.max_velocity"),
        ({"trackers": {}}, "observation.environment_state"),
    ],
)
def test_a_wrong_robot_is_refused_with_exit_code_2(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    bundle = bundle_for(tmp_path, JOINTS)
    process = start(tmp_path, str(robot_yaml(tmp_path, **changes)), "--engage", policy=str(bundle))
    assert_refused(process, 2, words)


def test_a_real_arm_is_not_moved_without_being_told_to(tmp_path: Path) -> None:
    bundle = bundle_for(tmp_path, JOINTS)
    process = start(tmp_path, str(robot_yaml(tmp_path)), policy=str(bundle))
    assert_refused(process, 2, "--engage")


def test_a_bundle_for_another_number_of_joints_is_refused(tmp_path: Path) -> None:
    bundle = bundle_for(tmp_path, JOINTS[:6])
    process = start(tmp_path, str(robot_yaml(tmp_path)), "--engage", policy=str(bundle))
    assert_refused(process, 1, str(bundle), "acts on 6 joints", "viperx has 7")


def test_a_precision_that_the_bundle_lacks_is_refused_with_what_it_has(tmp_path: Path) -> None:
    bundle = bundle_for(tmp_path, JOINTS)
    process = start(tmp_path, "viperx", "--precision", "int3", policy=str(bundle))
    assert_refused(process, 1, "no precision 'int3'", "it has fp32")


def test_an_altered_bundle_is_refused_by_the_name_of_its_file(tmp_path: Path) -> None:
    bundle = bundle_for(tmp_path, JOINTS)
    (bundle / "fp32" / "step.onnx").write_bytes(b"x")
    process = start(tmp_path, "viperx", policy=str(bundle))
    assert_refused(process, 1, str(bundle), "fp32/step.onnx")


def test_a_bundle_that_is_not_there_is_refused(tmp_path: Path) -> None:
    process = start(tmp_path, "viperx", policy=str(tmp_path / "none"))
    assert_refused(process, 1, str(tmp_path / "none"))


def test_an_unknown_robot_is_refused_with_those_there_are(tmp_path: Path) -> None:
    bundle = bundle_for(tmp_path, JOINTS)
    assert_refused(start(tmp_path, "r2d2", policy=str(bundle)), 2, "'r2d2'", "viperx")


def test_a_task_that_nobody_knows_is_refused_with_those_there_are(tmp_path: Path) -> None:
    policy = str(bundle_for(tmp_path, JOINTS))
    process = start(tmp_path, "viperx", "--task", "juggle", policy=policy)
    assert_refused(process, 2, "--task is 'juggle'", "viperx-lift, viperx-pick-place, viperx-stack")


def test_a_real_robot_has_no_simulated_task(tmp_path: Path) -> None:
    bundle = bundle_for(tmp_path, JOINTS)
    robot = str(robot_yaml(tmp_path))
    process = start(tmp_path, robot, "--task", "viperx-stack", "--engage", policy=str(bundle))
    assert_refused(process, 2, "'viperx-stack'", "real ports")


def test_a_bundle_is_not_run_before_another_task_than_its_own(tmp_path: Path) -> None:
    bundle = bundle_for(tmp_path, JOINTS, poses=14, task="viperx-stack")
    process = start(tmp_path, "viperx", policy=str(bundle))
    assert_refused(process, 2, "--task is 'viperx-lift'", "'viperx-stack'")
