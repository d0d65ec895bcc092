"""A cable out and in again in the middle of a run: nothing jumps, and a person decides."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edge.log_reader import read_log
from firmware_bridge.dynamixel.registers import Register
from tests.hil.robot_run import Arm, await_status, finish, robot_yaml, start, tracked_arm

pytestmark = pytest.mark.hil
PUSH_RAD = 0.15  # what somebody moves the waist by while the cable is out
NEAR_RAD = 0.02


@contextmanager
def plugged_in_again(folder: Path, before: Arm) -> Iterator[Arm]:
    """The same servos behind a new pseudo-terminal: stopped by their watchdogs, holding, pushed."""
    with Arm(folder, before.bus.servos) as arm:
        arm.plant.position_rad[:] = before.plant.position_rad
        arm.plant.position_rad[0] += PUSH_RAD
        arm.robot.settle()
        for servo in arm.bus.servos:
            servo.table[Register.BUS_WATCHDOG] = -1
        arm.start_tracking()
        try:
            yield arm
        finally:
            arm.stop_tracking()


def torque_and_goals(arm: Arm) -> list[tuple[bool, int]]:
    return [(servo.has_torque, servo.goal_ticks) for servo in arm.bus.servos]


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return start(
        folder,
        *(str(robot_yaml(folder)), "--engage", "--episodes", "2", "--seconds", "0.5"),
        *("--status-file", str(folder / "S.json"), *arguments),
    )


def test_the_run_outlives_its_cable_and_moves_again_from_where_the_arm_is_when_it_is_armed(
    tmp_path: Path,
) -> None:
    status = tmp_path / "S.json"
    with tracked_arm(tmp_path) as arm:
        process = started(tmp_path)
        try:
            servo = await_status(status, lambda now: now["rung"] == "ramp")["pids"]["servo"]
            arm.unplug()
            await_status(status, lambda now: now["disarmed"] and not now["fresh"])
            with plugged_in_again(tmp_path, arm) as again:
                left = torque_and_goals(again)
                await_status(status, lambda now: now["disarmed"] and now["fresh"])
                assert torque_and_goals(again) == left
                pushed = again.plant.position_rad.copy()
                process.send_signal(signal.SIGUSR1)
                now = await_status(status, lambda now: not now["disarmed"])
                assert now["pids"]["servo"] == servo  # it never ended
                code, _, err = finish(process)
        finally:
            process.kill()
    assert code == 0, err
    assert f"kill -USR1 {process.pid} arms the robot" in err
    log = read_log(tmp_path / "run.mcap")
    gap = np.flatnonzero(log.ticks["disarmed"])
    assert gap.size and not log.ticks["sent"][gap[1:]].any()
    first = gap[-1] + 1 + np.argmax(log.ticks["sent"][gap[-1] + 1 :])
    np.testing.assert_allclose(log.ticks["command"][first], pushed, atol=NEAR_RAD)
    steps = np.abs(np.diff(log.ticks["command"][first:], axis=0))
    assert steps.max() < NEAR_RAD


def test_a_person_who_never_comes_ends_the_run_with_the_reason(tmp_path: Path) -> None:
    with tracked_arm(tmp_path) as arm:
        process = started(tmp_path, "--arm-within", "0.2")
        try:
            await_status(tmp_path / "S.json", lambda now: now["rung"] == "ramp")
            arm.unplug()
        finally:
            code, _, err = finish(process)
    assert code == 1
    assert "port" in err.splitlines()[-1] and "Traceback" not in err
