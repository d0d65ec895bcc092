"""The lines of the simulated plant: what is emulated on each bus of a robot.

Whoever only checks a robot, or has no wheels, is not made to wait for what emulates them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import UsageError
from edge.robot import Robot
from edge.robot_buses import Bus

if TYPE_CHECKING:
    from firmware_bridge.emulation.paced_pty import PacedPty
    from firmware_bridge.emulation.robot import EmulatedRobot
    from models.tasks.viperx.mobile_plant import MobileViperXPlant

ARM_PROTOCOLS = ("dynamixel", "oatlink")
WHEEL_PROTOCOL = "odrive"
MOBILE_TASK = "viperx-lift"


def arm_bus(robot: Robot) -> Bus:
    """The bus of the plant's arm."""
    return robot.buses[robot.position_joints[0].bus]


def check_emulation(robot: Robot) -> None:
    """Raise UsageError where a bus has no emulated devices in front of a plant."""
    arm = {joint.bus for joint in robot.position_joints}
    wheels = {joint.bus for joint in robot.velocity_joints}
    for name, bus in robot.buses.items():
        allowed = ARM_PROTOCOLS if name in arm else (WHEEL_PROTOCOL,)
        if bus.protocol not in allowed:
            raise UsageError(
                f"buses.{name}.protocol is {bus.protocol}, emulated in front of a plant are "
                f"{', '.join(allowed)} there"
            )
    if wheels and robot.plant != MOBILE_TASK:
        raise UsageError(f"plant is {robot.plant!r}, allowed with wheels is {MOBILE_TASK!r}")
    if len(arm) > 1 or arm & wheels or len(wheels) > 1:
        raise UsageError(
            f"robot {robot.name}: emulated in front of a plant are an arm on one bus and wheels "
            "on another"
        )


def make_plant(robot: Robot) -> Any:
    """The physics of a robot's task; on a base, away from its dock, where the robot has wheels."""
    if not robot.velocity_joints:
        from models.tasks import get_task

        return get_task(robot.plant or "").make_plant()
    from models.tasks.viperx.mobile_plant import MobileViperXPlant

    return MobileViperXPlant()


def make_arm_line(robot: Robot) -> PacedPty:
    """The arm's serial line; other buses can be served beside it if the robot has any."""
    from firmware_bridge.emulation.paced_pty import PacedPty
    from firmware_bridge.emulation.shared_line import SharedPty

    bus = arm_bus(robot)
    link = Path(bus.port) if bus.protocol == "dynamixel" else None
    return SharedPty(bus.baud, link) if robot.velocity_joints else PacedPty(bus.baud, link)


def serve_wheels(robot: Robot, plant: MobileViperXPlant, arm: EmulatedRobot) -> None:
    """Put the wheels' axes on their CAN bus, beside the arm's line. Raises PortError."""
    if robot.velocity_joints:
        _serve_wheels(robot, plant, arm)


def _serve_wheels(robot: Robot, plant: MobileViperXPlant, arm: EmulatedRobot) -> None:
    from firmware_bridge.can_bus.bit_time import BitRates
    from firmware_bridge.emulation.hosted_can import HostedCan
    from firmware_bridge.emulation.motor import MotorPlant
    from firmware_bridge.emulation.odrive_axis import ODriveAxis
    from firmware_bridge.emulation.shared_line import SharedPty

    joints, line = robot.velocity_joints, arm.endpoint
    if not isinstance(line, SharedPty):
        return
    bus = robot.buses[joints[0].bus]
    axes = [
        ODriveAxis(index, joint.id, watchdog_ms=bus.watchdog_ms or 0)
        for index, joint in enumerate(joints)
    ]
    motion = MotorPlant(plant.base, axes)
    plant.before_steps = motion.aim

    def measure(now_ns: int) -> None:
        arm.catch_up(now_ns)
        motion.publish()

    _, _, channel = bus.port.partition(":")
    line.beside.append(HostedCan(channel, BitRates(bus.bitrate), axes, measure))
