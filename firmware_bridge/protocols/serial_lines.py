"""The protocols on serial lines that come with this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from firmware_bridge.bus import JointBus
from firmware_bridge.emulation.plant import Plant
from firmware_bridge.joint_map import JointMap
from firmware_bridge.protocols import BusOptions, Emulation, LineOptions, ProtocolSpec, toolboxes


@dataclass(frozen=True, slots=True)
class PtyEmulation:
    """An ``Emulation`` on a pseudo-terminal."""

    robot: Any

    @property
    def address(self) -> str:
        """Path of the tty."""
        path: str = self.robot.endpoint.path
        return path

    def run_until(self, deadline_ns: int) -> None:
        """Run until the monotonic time ``deadline_ns``."""
        self.robot.run_until(deadline_ns)

    def close(self) -> None:
        """Pull the cable; the link goes, too."""
        self.robot.endpoint.close()


def _dynamixel_bus(address: str, joints: JointMap, options: BusOptions) -> JointBus:
    from firmware_bridge.dynamixel import DynamixelBus, DynamixelConfig
    from firmware_bridge.transports.serial_port import SerialPort

    config = DynamixelConfig(
        joints.ids,
        joints.directions,
        joints.zero_offsets_rad,
        shadows={
            i: shadows for i, shadows in zip(joints.ids, joints.shadow_ids, strict=True) if shadows
        },
        baud=options.bitrate,
        fast_sync=options.fast_sync,
        watchdog_ms=200 if options.watchdog_ms is None else options.watchdog_ms,
        reply_slack_us=1500 * options.patience,
        read_budget_us=options.read_budget_us or 4500 * options.patience,
    )
    return DynamixelBus(options.wrap(SerialPort(address, options.bitrate)), config)


def _dynamixel_emulation(plant: Plant, arm: str, line: LineOptions) -> Emulation:
    from firmware_bridge.emulation.chains import plain_chain, viperx_chain
    from firmware_bridge.emulation.paced_pty import PacedPty
    from firmware_bridge.emulation.robot import EmulatedRobot

    servos = viperx_chain() if arm == "viperx" else plain_chain(len(plant.position_rad))
    robot = EmulatedRobot(plant, servos, PacedPty(line.baud, line.link))
    if arm != "simple":
        robot.hold()  # limp, it would have fallen before the first client comes
    return PtyEmulation(robot)


def _dynamixel_wire_us(joints: int) -> float:
    from firmware_bridge.dynamixel.wire_cost import wire_cost

    return wire_cost(tuple(range(1, joints + 1)), LineOptions().baud, True).cycle_ns / 1000.0


def _feetech_bus(address: str, joints: JointMap, options: BusOptions) -> JointBus:
    from firmware_bridge.feetech import FeetechBus, FeetechConfig
    from firmware_bridge.transports.serial_port import SerialPort

    config = FeetechConfig(
        joints,
        options.bitrate,
        reply_slack_us=3000 * options.patience,
        read_budget_us=options.read_budget_us or 9000 * options.patience,
    )
    return FeetechBus(options.wrap(SerialPort(address, options.bitrate)), config)


def _feetech_emulation(plant: Plant, arm: str, line: LineOptions) -> Emulation:
    from firmware_bridge.emulation.feetech_servo import FeetechChain, FeetechServo
    from firmware_bridge.emulation.paced_pty import PacedPty
    from firmware_bridge.emulation.serial_robot import EmulatedSerialRobot

    servos = [FeetechServo(joint, joint + 1) for joint in range(len(plant.position_rad))]
    endpoint = PacedPty(line.baud, line.link)
    robot = EmulatedSerialRobot(plant, servos, FeetechChain(servos), endpoint)
    if arm != "simple":
        robot.motion.hold()
    return PtyEmulation(robot)


def _feetech_wire_us(joints: int) -> float:
    from firmware_bridge.feetech.wire_cost import wire_cost

    return wire_cost(tuple(range(1, joints + 1)), LineOptions().baud).cycle_ns / 1000.0


DYNAMIXEL = ProtocolSpec(
    name="dynamixel",
    title="Robotis Dynamixel X, Protocol 2.0",
    wire="serial",
    plan_hz=200,
    watchdog="bus watchdog: holds where it is, locked until enabled again",
    limits="position limits in the servo",
    first_id=1,
    wire_us=_dynamixel_wire_us,
    make_bus=_dynamixel_bus,
    make_emulation=_dynamixel_emulation,
    features=frozenset({"shadow_ids"}),
    toolbox=toolboxes.dynamixel,
)
FEETECH = ProtocolSpec(
    name="feetech",
    title="Feetech STS/SMS",
    wire="serial",
    plan_hz=100,
    watchdog="none: holds its last goal",
    limits="angle limits in the servo",
    first_id=1,
    wire_us=_feetech_wire_us,
    make_bus=_feetech_bus,
    make_emulation=_feetech_emulation,
    features=frozenset({"gear_ratios"}),
    toolbox=toolboxes.feetech,
)
