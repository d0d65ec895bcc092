"""``oat-edge calibrate joints`` on emulated servos whose limp joints a hand moves."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import yaml

from edge.buses import build_bus
from edge.joint_calibration import load_joint_calibration
from edge.robot import load_robot
from firmware_bridge.dynamixel.codec import Instruction
from firmware_bridge.dynamixel.registers import Register
from firmware_bridge.emulation.dynamixel_servo import DynamixelServo, Mount
from firmware_bridge.emulation.paced_pty import PacedPty
from tests.contract.emulated_line import EmulatedLine, eventually
from tests.edge_parts import robot_data

pytestmark = pytest.mark.hil

ENTRY = "from edge.commands.main import main; main()"
MOUNTS = (Mount(0, -1, 0.3), Mount(1, 1, -0.2))
POSTURE_RAD = np.array([0.25, 0.0])
STOPS_RAD = np.array([[-0.8, -0.5], [1.1, 0.9]])
MARGIN_RAD, TICK_RAD = 0.02, 2 * np.pi / 4096
PATIENCE_S = 60


class LimpArm(EmulatedLine):
    """Two servos that hold at first, mounted as no robot.yaml knows; ``reads`` counts questions."""

    def __init__(self, folder: Path) -> None:
        servos = [DynamixelServo(i + 1, mount) for i, mount in enumerate(MOUNTS)]
        super().__init__(servos, PacedPty(1_000_000, folder / "arm.tty"))
        self.plant.position_rad[:] = (0.6, -0.4)
        self.robot.hold()
        self.reads = 0
        receive = self.bus.receive

        def counted(data: bytes, now_ns: int) -> Any:
            self.reads += bytes((Instruction.FAST_SYNC_READ,)) in data
            return receive(data, now_ns)

        self.bus.receive = counted  # type: ignore[method-assign]

    @property
    def is_limp(self) -> bool:
        return not any(servo.table[Register.TORQUE_ENABLE] for servo in self.bus.servos)

    def move(self, position_rad: np.ndarray) -> None:
        """A hand puts the joints there and leaves them until they have been read."""
        self.plant.position_rad[:] = position_rad
        seen = self.reads
        assert eventually(lambda: self.reads >= seen + 3)

    def sweep(self) -> None:
        """From stop to stop."""
        for stop in STOPS_RAD:
            self.move(stop)


@pytest.fixture
def arm(tmp_path: Path) -> Iterator[LimpArm]:
    data = robot_data(buses__arm__port=str(tmp_path / "arm.tty"))
    (tmp_path / "robot.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    with LimpArm(tmp_path) as made:
        yield made


@contextmanager
def calibrating(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", ENTRY, "calibrate", "joints", str(folder / "robot.yaml")]
    command += ["--out", str(folder / "joints.yaml"), *options]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def answer(process: subprocess.Popen[str], prompt: str, act: Callable[[], None]) -> None:
    """Wait for the prompt, do what it asks for, and press Enter."""
    assert process.stdin is not None
    assert process.stdout is not None
    give_up = threading.Timer(60.0, process.kill)  # a prompt that never comes ends the test
    give_up.start()
    try:
        for line in process.stdout:
            if line.startswith(prompt):
                act()
                process.stdin.write("\n")
                process.stdin.flush()
                return
    finally:
        give_up.cancel()
    raise AssertionError(f"no prompt {prompt!r}: {text_of(process.stderr)}")


def text_of(stream: IO[str] | None) -> str:
    return stream.read() if stream is not None else ""


def test_zeros_directions_and_travel_are_found_by_moving_the_limp_arm(
    arm: LimpArm, tmp_path: Path
) -> None:
    with calibrating(tmp_path, "--reference", "waist=0.25") as process:
        answer(process, "Hold the arm", lambda: None)
        answer(process, "Put the arm", lambda: arm.move(POSTURE_RAD))
        assert arm.is_limp
        answer(process, "Move waist", lambda: arm.move(np.add(POSTURE_RAD, (0.3, 0.0))))
        answer(process, "Move gripper", lambda: arm.move(np.add(POSTURE_RAD, (0.3, 0.3))))
        answer(process, "Move every joint", arm.sweep)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (0, ""), out
    made = load_joint_calibration(tmp_path / "joints.yaml")
    for i, (joint, mount) in enumerate(zip(made.joints.values(), MOUNTS, strict=True)):
        assert (joint.id, joint.direction) == (i + 1, mount.direction)
        assert joint.zero_rad == pytest.approx(mount.zero_offset_rad, abs=2 * TICK_RAD)
        low, high = STOPS_RAD[:, i] + (MARGIN_RAD, -MARGIN_RAD)
        assert joint.min_position == pytest.approx(low, abs=3 * TICK_RAD)
        assert joint.max_position == pytest.approx(high, abs=3 * TICK_RAD)
    assert arm.is_limp


def test_a_robot_that_names_the_file_reads_its_true_angles(arm: LimpArm, tmp_path: Path) -> None:
    joints = {
        name: {"id": i + 1, "direction": mount.direction, "zero_rad": mount.zero_offset_rad}
        for i, (name, mount) in enumerate(zip(("waist", "gripper"), MOUNTS, strict=True))
    }
    fields = {"format": "oat-edge joint calibration", "version": 1, "robot": "twojoint"}
    (tmp_path / "joints.yaml").write_text(yaml.safe_dump(fields | {"joints": joints}))
    data = robot_data(buses__arm__port=str(tmp_path / "arm.tty"), calibration="joints.yaml")
    (tmp_path / "robot.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    bus = build_bus(load_robot(str(tmp_path / "robot.yaml")))
    bus.open()
    try:
        np.testing.assert_allclose(bus.read_state().position_rad, (0.6, -0.4), atol=2 * TICK_RAD)
    finally:
        bus.close()


def test_a_joint_that_was_not_moved_is_asked_for_again(arm: LimpArm, tmp_path: Path) -> None:
    with calibrating(tmp_path) as process:
        answer(process, "Hold the arm", lambda: None)
        answer(process, "Put the arm", lambda: arm.move(POSTURE_RAD))
        answer(process, "Move waist", lambda: None)
        answer(process, "waist moved by 0° only", lambda: arm.move(np.add(POSTURE_RAD, (0.3, 0.0))))
        answer(process, "Move gripper", lambda: arm.move(np.add(POSTURE_RAD, (0.3, 0.3))))
        answer(process, "Move every joint", lambda: arm.move(np.add(POSTURE_RAD, (0.9, 0.3))))
        answer(process, "not moved from stop to stop yet: gripper", lambda: None)


@pytest.mark.parametrize(
    ("typed", "words"), [("\nq\n", "left; nothing is written"), ("\n", "ended")]
)
def test_who_leaves_early_leaves_no_file(
    arm: LimpArm, tmp_path: Path, typed: str, words: str
) -> None:
    with calibrating(tmp_path) as process:
        _, err = process.communicate(typed, timeout=PATIENCE_S)
    assert process.returncode == 1
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "joints.yaml").exists()
    assert arm.is_limp


def test_who_leaves_before_agreeing_finds_the_arm_still_holding(
    arm: LimpArm, tmp_path: Path
) -> None:
    with calibrating(tmp_path) as process:
        process.communicate("q\n", timeout=PATIENCE_S)
    assert process.returncode == 1
    assert not arm.is_limp


def test_a_file_that_is_there_is_kept(arm: LimpArm, tmp_path: Path) -> None:
    (tmp_path / "joints.yaml").write_text("years of work")
    with calibrating(tmp_path) as process:
        _, err = process.communicate("\n", timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "--force" in err
    assert (tmp_path / "joints.yaml").read_text() == "years of work"
    assert not arm.is_limp
