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
    from firmware_bridge.emulation.serial_robot import EmulatedSerialRobot
    from models.tasks.viperx.mobile_plant import MobileViperXPlant

ARM_PROTOCOLS = {
    "viperx": ("dynamixel", "oatlink"),
    "so101": ("feetech",),
}
"""What is emulated in front of each arm, whose name its tasks begin with."""
SERVO_PROTOCOLS = ("dynamixel", "feetech")
WHEEL_PROTOCOL = "odrive"
MOBILE_TASK = "viperx-lift"


def arm_bus(robot: Robot) -> Bus:
    """The bus of the plant's arm."""
    return robot.buses[robot.position_joints[0].bus]


def check_emulation(robot: Robot) -> None:
    """Raise UsageError where a bus has no emulated devices in front of a plant."""
    _check_joints(robot)
    protocols = ARM_PROTOCOLS[_arm_name(robot)]
    arm = {joint.bus for joint in robot.position_joints}
    wheels = {joint.bus for joint in robot.velocity_joints}
    for name, bus in robot.buses.items():
        allowed = protocols if name in arm else (WHEEL_PROTOCOL,)
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


def _arm_name(robot: Robot) -> str:
    return (robot.plant or "").partition("-")[0]


def _check_joints(robot: Robot) -> None:
    """The plant's arm must be the robot's. Raises UsageError."""
    from models.tasks import get_task

    names = tuple(joint.name for joint in robot.position_joints)
    allowed = get_task(robot.plant or "").joint_names
    if names != allowed:
        raise UsageError(
            f"plant is {robot.plant!r}, but robot {robot.name} has the joints {', '.join(names)}; "
            f"allowed with this plant are {', '.join(allowed)}"
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
    link = Path(bus.port) if bus.protocol in SERVO_PROTOCOLS else None
    return SharedPty(bus.baud, link) if robot.velocity_joints else PacedPty(bus.baud, link)


def serve_robot(robot: Robot, plant: Any, line: PacedPty) -> EmulatedRobot | EmulatedSerialRobot:
    """The servos of the arm on its line, holding it, and the axes of the wheels beside it if any.

    Raises PortError where the wheels' CAN bus cannot be had.
    """
    if arm_bus(robot).protocol == "feetech":
        return _serve_feetech(robot, plant, line)
    from firmware_bridge.emulation.chains import viperx_chain
    from firmware_bridge.emulation.robot import EmulatedRobot

    arm = EmulatedRobot(plant, viperx_chain(), line)
    arm.hold()
    if robot.velocity_joints:
        _serve_wheels(robot, plant, arm)
    return arm


def _serve_feetech(robot: Robot, plant: Any, line: PacedPty) -> EmulatedSerialRobot:
    from firmware_bridge.emulation.feetech_servo import FeetechChain, FeetechServo
    from firmware_bridge.emulation.serial_robot import EmulatedSerialRobot

    servos = [FeetechServo(index, joint.id) for index, joint in enumerate(robot.position_joints)]
    arm = EmulatedSerialRobot(plant, servos, FeetechChain(servos), line)
    arm.motion.hold()
    return arm


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
