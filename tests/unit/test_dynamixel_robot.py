"""The emulated robot's loop, the servos' coupling to a plant, and the command that serves it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.dynamixel import codec
from firmware_bridge.dynamixel.config import DynamixelConfig
from firmware_bridge.dynamixel.parser import PacketParser
from firmware_bridge.dynamixel.registers import Register
from firmware_bridge.dynamixel.units import RAD_PER_TICK
from firmware_bridge.emulation.chains import plain_chain, viperx_chain
from firmware_bridge.emulation.dynamixel_servo import DynamixelServo, Mount
from firmware_bridge.emulation.paced_pty import PacedPty
from firmware_bridge.emulation.plant import FirstOrderPlant
from firmware_bridge.emulation.robot import MAX_LAG_NS, EmulatedRobot, ServoCoupling

MS = 1_000_000
COMMAND = "import typer; from edge.commands.emulate import emulate; typer.run(emulate)"


@pytest.fixture
def endpoint():  # type: ignore[no-untyped-def]
    line = PacedPty(1_000_000)
    yield line
    line.close()


def test_physics_keeps_step_with_the_clock(endpoint: PacedPty) -> None:
    robot = EmulatedRobot(FirstOrderPlant(2), plain_chain(2), endpoint)
    start_ns = robot._next_step_ns
    robot.run_until(start_ns + 40 * MS)
    due = (time.monotonic_ns() - start_ns) // (2 * MS) + 1
    stepped = robot.steps + robot.slipped_ns // (2 * MS)
    assert 20 <= stepped <= due


def test_physics_lets_lost_time_go(endpoint: PacedPty) -> None:
    robot = EmulatedRobot(FirstOrderPlant(2), plain_chain(2), endpoint)
    robot.catch_up(robot._next_step_ns + MAX_LAG_NS + 1)
    assert (robot.slips, robot.slipped_ns, robot.steps) == (1, MAX_LAG_NS + 1, 1)


def test_physics_catches_up_with_a_short_delay(endpoint: PacedPty) -> None:
    robot = EmulatedRobot(FirstOrderPlant(2), plain_chain(2), endpoint)
    robot.catch_up(robot._next_step_ns + MAX_LAG_NS)
    assert (robot.slips, robot.steps) == (0, 51)


def test_a_goal_counts_from_its_arrival_however_late_the_steps_are_made(
    endpoint: PacedPty,
) -> None:
    plant, chain = FirstOrderPlant(2), plain_chain(2)
    robot = EmulatedRobot(plant, chain, endpoint)
    robot.hold()
    start_ns = robot._next_step_ns
    frame = codec.write(1, Register.GOAL_POSITION, (3000).to_bytes(4, "little"))
    robot.receive(frame, start_ns + 20 * MS)
    assert not plant.position_rad.any()  # the steps before it aimed at the old goal
    robot.receive(codec.ping(1), start_ns + 30 * MS)
    moved = FirstOrderPlant(2)
    moved.set_torque(np.ones(2, dtype=bool))
    moved.set_goal(np.array([(3000 - 2048) * RAD_PER_TICK, 0.0]))
    moved.step(5)
    np.testing.assert_allclose(plant.position_rad, moved.position_rad)


def test_a_reading_shows_the_joints_as_they_are_when_the_question_arrives(
    endpoint: PacedPty,
) -> None:
    plant, chain = FirstOrderPlant(2), plain_chain(2)
    robot = EmulatedRobot(plant, chain, endpoint)
    robot.hold()
    start_ns = robot._next_step_ns
    robot.receive(codec.write(1, Register.GOAL_POSITION, (3000).to_bytes(4, "little")), start_ns)
    (reply,) = robot.receive(codec.read(1, Register.PRESENT_POSITION, 4), start_ns + 100 * MS)
    (packet,) = PacketParser().feed(reply.data)
    status = codec.as_status(packet)
    assert status is not None
    shown = int.from_bytes(status.data, "little", signed=True)
    assert shown == 2048 + round(plant.position_rad[0] / RAD_PER_TICK) > 2048


def test_a_servo_without_torque_moves_nothing(endpoint: PacedPty) -> None:
    plant, chain = FirstOrderPlant(2), plain_chain(2)
    robot = EmulatedRobot(plant, chain, endpoint)
    for servo in chain:
        servo.write(Register.GOAL_POSITION, (3000).to_bytes(4, "little"))
    robot.catch_up(robot._next_step_ns + 50 * MS)
    assert not plant.position_rad.any()


def test_holding_starts_in_the_present_pose(endpoint: PacedPty) -> None:
    plant, chain = FirstOrderPlant(7), viperx_chain()
    plant.position_rad[:] = np.linspace(-1, 1, 7)
    robot = EmulatedRobot(plant, chain, endpoint)
    robot.hold()
    before = plant.position_rad.copy()
    robot.catch_up(robot._next_step_ns + 50 * MS)
    assert all(servo.has_torque for servo in chain)
    np.testing.assert_allclose(plant.position_rad, before, atol=1e-3)


def test_a_shadow_that_faces_its_leader_reads_the_same_ticks() -> None:
    plant, chain = FirstOrderPlant(7), viperx_chain()
    plant.position_rad[1] = 0.5
    ServoCoupling(plant, chain).publish()
    by_id = {servo.servo_id: servo.table[Register.PRESENT_POSITION] for servo in chain}
    assert by_id[2] == by_id[3] == 2374


def test_a_joint_holds_while_one_of_its_servos_does() -> None:
    class Recorder(FirstOrderPlant):
        def set_torque(self, enabled: np.ndarray) -> None:
            self.seen = enabled.tolist()

    plant, chain = Recorder(7), viperx_chain()
    coupling = ServoCoupling(plant, chain)
    shadow = next(servo for servo in chain if servo.servo_id == 3)
    shadow.table[Register.TORQUE_ENABLE] = 1
    coupling.command()
    assert plant.seen == [False, True, False, False, False, False, False]


def test_direction_and_zero_of_a_mount_reach_the_plant() -> None:
    plant = FirstOrderPlant(1)
    servo = DynamixelServo(1, Mount(0, direction=-1, zero_offset_rad=0.25))
    servo.write(Register.GOAL_POSITION, (3072).to_bytes(4, "little"))
    servo.write(Register.TORQUE_ENABLE, b"\1")
    ServoCoupling(plant, [servo]).command()
    plant.step(1000)
    np.testing.assert_allclose(plant.position_rad, 0.25 - np.pi / 2, atol=1e-3)


def test_servos_must_drive_every_joint_of_the_plant() -> None:
    with pytest.raises(ValueError, match=r"servos drive joints \[0, 1\], the plant has 3"):
        ServoCoupling(FirstOrderPlant(3), plain_chain(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ()}, "ids: "),
        ({"ids": (1, 1)}, r"ids: \(1, 1\) is not allowed \(allowed: each id once\)"),
        ({"ids": (1, 253)}, "0 to 252"),
        ({"directions": (1,)}, "directions: "),
        ({"directions": (1, 0)}, "directions: .*1 or -1"),
        ({"zero_offsets_rad": (0.0, float("nan"))}, "zero_offsets_rad: .*finite"),
        ({"shadows": {7: (3,)}}, "shadows: .*keys out of ids"),
        ({"shadows": {1: (2,)}}, "each id once"),
        ({"watchdog_ms": 2541}, r"watchdog_ms: 2541 .*0 to 2540"),
        ({"baud": 0}, "baud: 0"),
        ({"read_budget_us": 0}, "read_budget_us: 0"),
    ],
)
def test_a_bad_configuration_names_its_key(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DynamixelConfig(**({"ids": (1, 2)} | change))  # type: ignore[arg-type]


def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    link = tmp_path / "ttyDXL"
    arguments = [sys.executable, "-c", COMMAND, "dynamixel", "--joints", "2", "--link", str(link)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        path = process.stdout.readline().strip()
        assert str(link.readlink()) == path
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert not link.is_symlink()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["canopen"],
            2,
            "protocol 'canopen' is not known (known: cia402, damiao, "
            "dynamixel, feetech, moteus, oatlink, oatlink_fd, odrive)\n",
        ),
        (
            ["dynamixel", "--plant", "moon"],
            2,
            "plant 'moon' is not known (known: simple, viperx, so101)\n",
        ),
        (["dynamixel", "--link", "/"], 1, "link / exists and leads to no pseudo-terminal\n"),
    ],
)
def test_a_wrong_use_of_the_command_is_one_line(
    arguments: list[str], code: int, message: str
) -> None:
    process = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments], capture_output=True, text=True, timeout=60
    )
    assert (process.returncode, process.stderr, process.stdout) == (code, message, "")
