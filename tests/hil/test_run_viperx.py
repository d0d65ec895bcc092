"""The whole way: a terminal command, three processes, a serial bus, and the arm behind it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge.log_reader import Log, read_log
from tests.hil.robot_run import await_status, finish, robot_yaml, start, tracked_arm

pytestmark = pytest.mark.hil
PROMISED = {
    "episodes",
    "successes",
    "ticks",
    "late_ticks",
    "late_plan_share",
    "prefix_counts",
    "ladder",
    "max_command_step_rad",
    "limit_violations",
    "observation_age_p99_ms",
    "log",
}


def following(status: dict[str, object]) -> bool:
    return status["rung"] in ("full", "prefix")


def rungs(log: Log) -> list[str]:
    return [event.rung for event in log.events if event.event == "rung"]


def test_an_episode_without_torch_keeps_every_limit_and_answers_every_plan(
    tmp_path: Path,
) -> None:
    process = start(
        tmp_path, "viperx", "--episodes", "1", "--seed", "7", "--json", without_torch=True
    )
    code, out, err = finish(process)
    assert code == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert set(summary) >= PROMISED
    assert summary["episodes"] == 1
    assert summary["limit_violations"] == 0
    assert summary["plans"] == sum(summary["prefix_counts"].values()) > 0
    assert summary["log"] == str(tmp_path / "run.mcap")
    log = read_log(tmp_path / "run.mcap")
    assert log.damage == ""
    assert len(log.plans) == summary["plans"]
    assert (log.plans["prefix"] >= 1).all()
    followed = set(log.ticks["plan"].tolist())
    answered = sorted(set(log.plans["plan"].tolist()))
    assert followed.issuperset(answered[:-1])  # the last may come when the episode is over


def test_a_killed_planner_leaves_the_servo_on_tail_then_hold_until_another_takes_over(
    tmp_path: Path,
) -> None:
    status_file = tmp_path / "S.json"
    arguments = ("viperx", "--episodes", "2", "--seconds", "5", "--json")
    process = start(tmp_path, *arguments, "--status-file", str(status_file))
    try:
        before = await_status(status_file, following)
        os.kill(before["pids"]["planner"], signal.SIGKILL)
        held = await_status(status_file, lambda now: now["rung"] == "hold")
        after = await_status(status_file, following)
    finally:
        code, out, err = finish(process)
    assert code == 0, err
    assert before["pids"]["servo"] == held["pids"]["servo"] == after["pids"]["servo"]
    assert before["pids"]["planner"] != after["pids"]["planner"]
    summary = json.loads(out.splitlines()[-1])
    assert summary["planner_restarts"] == 1
    assert summary["limit_violations"] == 0
    log = read_log(tmp_path / "run.mcap")
    assert (np.diff(log.ticks["tick"]) == 1).all()  # the servo missed nothing
    path = rungs(log)
    taken_over = path.index("tail")
    assert "hold" in path[taken_over:]
    assert set(path[path.index("hold", taken_over) :]) & {"full", "prefix"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_the_arm_and_leaves_its_figures_and_a_whole_log(
    tmp_path: Path, number: signal.Signals
) -> None:
    status_file = tmp_path / "S.json"
    process = start(tmp_path, "viperx", "--json", "--status-file", str(status_file))
    pids = await_status(status_file, following)["pids"]
    process.send_signal(number)
    code, out, err = finish(process)
    assert code == 130
    assert err.splitlines()[-1] == "oat-edge: interrupted"
    summary = json.loads(out.splitlines()[-1])
    assert summary["interrupted"] and summary["plans"] >= 1 and summary["limit_violations"] == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids.values())
    log = read_log(tmp_path / "run.mcap")
    assert log.damage == ""
    before, last = log.ticks[-2:]["command"]
    np.testing.assert_array_equal(before, last)  # it stood still at the end


def test_a_pose_that_is_not_finite_before_motion_means_that_the_arm_never_moves(
    tmp_path: Path,
) -> None:
    with tracked_arm(tmp_path) as arm:
        arm.pose[1] = np.nan
        code, out, err = finish(start(tmp_path, str(robot_yaml(tmp_path)), "--engage"))
        assert not arm.torque_seen
        assert not arm.plant.position_rad.any()
    assert code == 1
    assert out == ""
    assert "observation.environment_state[1] is nan" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_pose_that_is_not_finite_in_motion_ends_the_run_with_the_arm_holding(
    tmp_path: Path,
) -> None:
    status_file = tmp_path / "S.json"
    with tracked_arm(tmp_path) as arm:
        process = start(
            tmp_path, str(robot_yaml(tmp_path)), "--engage", "--status-file", str(status_file)
        )
        try:
            await_status(status_file, following)
            arm.pose[0] = np.inf
        finally:
            code, _, err = finish(process)
        assert arm.torque_seen
        assert all(servo.has_torque for servo in arm.bus.servos)
    assert code == 1
    assert "observation.environment_state[0] is inf" in err.splitlines()[-1]
    log = read_log(tmp_path / "run.mcap")
    assert rungs(log)[-1] == "hold"


def test_a_pulled_port_ends_a_run_without_a_person_with_its_name(
    tmp_path: Path,
) -> None:
    status_file = tmp_path / "S.json"
    with tracked_arm(tmp_path) as arm:
        process = start(
            tmp_path,
            *(str(robot_yaml(tmp_path)), "--engage", "--arm-within", "0"),
            *("--status-file", str(status_file)),
        )
        try:
            await_status(status_file, lambda now: now["rung"] == "ramp")
            arm.unplug()
        finally:
            code, _, err = finish(process)
    assert code == 1
    assert str(tmp_path / "arm.tty") in err.splitlines()[-1]
    assert "Traceback" not in err


def assert_refused(process: subprocess.Popen[str], code: int, *words: str) -> None:
    """Exit code, exactly one line of error, and what must stand in it."""
    ended, out, err = finish(process)
    assert (ended, out) == (code, ""), err
    (line,) = err.splitlines()
    assert line.startswith("oat-edge: ")
    for word in words:
        assert word in line


def test_a_missing_port_is_named(tmp_path: Path) -> None:
    process = start(tmp_path, str(robot_yaml(tmp_path)), "--engage")
    assert_refused(process, 1, str(tmp_path / "arm.tty"))
    assert not (tmp_path / "arm.tty").exists()
    assert not (tmp_path / "run.mcap").exists()  # nothing has happened
