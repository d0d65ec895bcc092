"""oatlink on serial lines and on CAN-FD, in front of Dynamixel servos."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from firmware_bridge.bus import JointBus
from firmware_bridge.can_bus.bit_time import BitRates
from firmware_bridge.emulation.can_fd_gateway import CanFdGateway
from firmware_bridge.emulation.controllers import ControllerProcess
from firmware_bridge.emulation.paced_pty import PacedPty
from firmware_bridge.emulation.plant import Plant
from firmware_bridge.emulation.robot import EmulatedRobot
from firmware_bridge.joint_map import JointMap
from firmware_bridge.oatlink import (
    CanFdLine,
    JointSettings,
    OatlinkBus,
    OatlinkConfig,
    SerialLine,
)
from firmware_bridge.oatlink.wire_cost import fd_wire_cost, wire_cost
from firmware_bridge.protocols import BusOptions, Emulation, LineOptions, ProtocolSpec, toolboxes

# A robot.yaml brings its limits; without one a controller gets these.
LIMIT_RAD = 2.0 * math.pi
VELOCITY_RAD_S, DECELERATION_RAD_S2, STEP_RAD = 3.0, 30.0, 0.5
TURN_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class ControllerEmulation:
    """An ``Emulation`` of servos, the controller in front of them, and perhaps its CAN driver."""

    robot: EmulatedRobot
    controller: ControllerProcess
    gateways: list[CanFdGateway] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The controller's tty, or "interface:channel"."""
        if self.gateways:
            return f"oatcan:{self.gateways[0].client.channel}"
        return self.controller.path

    def run_until(self, deadline_ns: int) -> None:
        """Run until the monotonic time ``deadline_ns``."""
        if not self.gateways:
            self.robot.run_until(deadline_ns)
            return
        while (now_ns := time.monotonic_ns()) < deadline_ns:
            self.robot.run_until(min(deadline_ns, now_ns + TURN_NS))
            for gateway in self.gateways:
                gateway.serve()

    def close(self) -> None:
        """Pull every cable."""
        for gateway in self.gateways:
            gateway.close()
        self.controller.close()
        self.robot.endpoint.close()


def _robot(plant: Plant, arm: str, line: LineOptions) -> EmulatedRobot:
    from firmware_bridge.emulation.chains import plain_chain, viperx_chain

    servos = viperx_chain() if arm == "viperx" else plain_chain(len(plant.position_rad))
    robot = EmulatedRobot(plant, servos, PacedPty(line.baud))
    if arm != "simple":
        robot.hold()  # limp, it would have fallen before the first client comes
    return robot


def _emulation(plant: Plant, arm: str, line: LineOptions) -> Emulation:
    from firmware_bridge.emulation.controllers import HostController

    robot = _robot(plant, arm, line)
    return ControllerEmulation(robot, HostController(robot.endpoint.path, line.link))


def _fd_emulation(plant: Plant, arm: str, line: LineOptions) -> Emulation:
    from firmware_bridge.can_bus.client import BusClient, ControllerSettings
    from firmware_bridge.emulation.controllers import HostController

    robot = _robot(plant, arm, line)
    controller = HostController(robot.endpoint.path)
    client = BusClient(line.channel, ControllerSettings())
    client.open()
    gateway = CanFdGateway(controller.path, client, node=0, with_tag=False)
    return ControllerEmulation(robot, controller, [gateway])


def _bus(address: str, joints: JointMap, options: BusOptions) -> JointBus:
    from firmware_bridge.transports.serial_port import SerialPort

    port = options.wrap(SerialPort(address, options.bitrate))
    return OatlinkBus(SerialLine(port), _config(joints, options))


def _fd_bus(address: str, joints: JointMap, options: BusOptions) -> JointBus:
    from firmware_bridge.protocols.can_lines import can_port

    config = _config(joints, options)
    port = can_port(address, options, fd=True)
    return OatlinkBus(CanFdLine.of(port, config), config)


def _config(joints: JointMap, options: BusOptions) -> OatlinkConfig:
    settings = [
        JointSettings(
            motor_id,
            -LIMIT_RAD,
            LIMIT_RAD,
            VELOCITY_RAD_S,
            DECELERATION_RAD_S2,
            STEP_RAD,
            joints.directions[i],
            joints.zero_offsets_rad[i],
        )
        for i, motor_id in enumerate(joints.ids)
    ]
    patience = options.patience
    return OatlinkConfig(
        tuple(settings),
        fast_sync=options.fast_sync,
        watchdog_ms=200 if options.watchdog_ms is None else options.watchdog_ms,
        max_age_ms=min(20 * patience, 1000),
        max_ahead_ms=min(10 * patience, 1000),
        silence_ms=min(100 * patience, 60_000),
        read_budget_us=options.read_budget_us or 4500 * patience,
    )


def _wire_us(joints: int) -> float:
    return wire_cost(joints, LineOptions().baud).cycle_ns / 1000.0


def _fd_wire_us(joints: int) -> float:
    return fd_wire_cost(joints, BitRates()).cycle_ns / 1000.0


OATLINK = ProtocolSpec(
    name="oatlink",
    title="oatlink, our own controller, in front of Dynamixel servos",
    wire="serial",
    plan_hz=200,
    watchdog="in the controller: slows down, holds, latched until enabled again",
    limits="position, velocity, step, age and horizon in the controller",
    first_id=1,
    wire_us=_wire_us,
    make_bus=_bus,
    make_emulation=_emulation,
    toolbox=toolboxes.oatlink,
    reports_unasked=True,
)
OATLINK_FD = ProtocolSpec(
    name="oatlink_fd",
    title="oatlink on CAN-FD, up to 7 joints",
    wire="can-fd",
    plan_hz=500,
    watchdog=OATLINK.watchdog,
    limits=OATLINK.limits,
    first_id=1,
    wire_us=_fd_wire_us,
    make_bus=_fd_bus,
    make_emulation=_fd_emulation,
    toolbox=toolboxes.oatlink_fd,
    reports_unasked=True,
)
