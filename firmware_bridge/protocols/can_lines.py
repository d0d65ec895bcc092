"""The protocols on CAN that come with this package."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from firmware_bridge.bus import JointBus
from firmware_bridge.can_bus.bit_time import BitRates
from firmware_bridge.can_bus.wire_cost import CYCLES
from firmware_bridge.emulation.can_motor import CanMotor
from firmware_bridge.emulation.can_robot import REACTION_NS, EmulatedCanRobot
from firmware_bridge.emulation.hosted_can_robot import HostedCanRobot
from firmware_bridge.emulation.plant import Plant
from firmware_bridge.errors import PortError
from firmware_bridge.joint_map import JointMap
from firmware_bridge.protocols import BusOptions, Emulation, LineOptions, ProtocolSpec, toolboxes
from firmware_bridge.transports import can_address
from firmware_bridge.transports.can_port import CanTransport

RATES = BitRates()
ANSWER_QUEUE = 1000
REACTION_US = REACTION_NS / 1000.0


@dataclass(frozen=True, slots=True)
class CanEmulation:
    """An ``Emulation`` on a simulated CAN bus."""

    robot: EmulatedCanRobot | HostedCanRobot
    channel: str

    @property
    def address(self) -> str:
        """Interface and channel."""
        return f"oatcan:{self.channel}"

    def run_until(self, deadline_ns: int) -> None:
        """Run until the monotonic time ``deadline_ns``."""
        self.robot.run_until(deadline_ns)

    def close(self) -> None:
        """Leave the bus."""
        self.robot.close()


def _emulation(
    make_motor: Callable[[int], CanMotor],
) -> Callable[[Plant, str, LineOptions], Emulation]:
    def make(plant: Plant, arm: str, line: LineOptions) -> Emulation:
        motors = [make_motor(joint) for joint in range(len(plant.position_rad))]
        robot = _can_robot(plant, motors, line)
        if arm != "simple":
            robot.motion.hold()
        return CanEmulation(robot, line.channel)

    return make


def _can_robot(
    plant: Plant, motors: list[CanMotor], line: LineOptions
) -> EmulatedCanRobot | HostedCanRobot:
    """The motors as the bus of their channel, or as guests of the one that it has already."""
    from firmware_bridge.can_bus.client import BusClient, ControllerSettings

    if line.may_host:
        with suppress(PortError):
            return HostedCanRobot(plant, motors, line.channel, RATES)
    client = BusClient(line.channel, ControllerSettings(queue_length=ANSWER_QUEUE))
    client.open()
    return EmulatedCanRobot(plant, motors, client)


def can_port(address: str, options: BusOptions, fd: bool) -> CanTransport:
    """A port from its address; see ``transports.can_address``."""
    data_bitrate = options.data_bitrate if fd else None
    port = can_address.can_port(address, options.bitrate, data_bitrate)
    wrapped: CanTransport = options.wrap(port)
    return wrapped


def _wire_us(protocol: str) -> Callable[[int], float]:
    return lambda joints: CYCLES[protocol].cost(joints, RATES).cycle_ns / 1000.0


Makers = tuple[Any, Callable[[CanTransport, Any], JointBus]]  # a configuration, and its bus


def _bus(
    load: Callable[[], Makers], fd: bool, watchdog_ms: int, reply_us: int, budget_us: int
) -> Callable[[str, JointMap, BusOptions], JointBus]:
    """``make_bus`` of a protocol, whose configuration has these settings like all others."""

    def make(address: str, joints: JointMap, options: BusOptions) -> JointBus:
        make_config, make_joint_bus = load()
        config = make_config(
            joints,
            watchdog_ms=watchdog_ms if options.watchdog_ms is None else options.watchdog_ms,
            reply_timeout_us=reply_us * options.patience,
            read_budget_us=options.read_budget_us or budget_us * options.patience,
        )
        return make_joint_bus(can_port(address, options, fd), config)

    return make


def _odrive() -> Makers:
    from firmware_bridge.odrive import ODriveConfig, odrive_bus

    return ODriveConfig, odrive_bus


def _damiao() -> Makers:
    from firmware_bridge.damiao import DamiaoConfig, damiao_bus

    return DamiaoConfig, damiao_bus


def _moteus() -> Makers:
    from firmware_bridge.moteus import MoteusConfig, moteus_bus

    return MoteusConfig, moteus_bus


def _cia402() -> Makers:
    from firmware_bridge.cia402 import Cia402Config, cia402_bus

    return Cia402Config, cia402_bus


def _odrive_axis(joint: int) -> CanMotor:
    from firmware_bridge.emulation.odrive_axis import ODriveAxis

    return ODriveAxis(joint, joint)


def _damiao_motor(joint: int) -> CanMotor:
    from firmware_bridge.emulation.damiao_motor import DamiaoMotor

    return DamiaoMotor(joint, joint + 1)


def _moteus_servo(joint: int) -> CanMotor:
    from firmware_bridge.emulation.moteus_servo import MoteusServo

    return MoteusServo(joint, joint + 1)


def _cia402_drive(joint: int) -> CanMotor:
    from firmware_bridge.emulation.cia402_drive import Cia402Drive

    return Cia402Drive(joint, joint + 1)


ODRIVE = ProtocolSpec(
    name="odrive",
    title="ODrive CANSimple, firmware 0.5 and 0.6",
    wire="can",
    plan_hz=200,
    watchdog="in the axis, set by its maker's tool: goes idle",
    limits="velocity and current limits in the axis",
    first_id=0,
    wire_us=_wire_us("odrive"),
    make_bus=_bus(_odrive, fd=False, watchdog_ms=0, reply_us=4000, budget_us=9000),
    make_emulation=_emulation(_odrive_axis),
    features=frozenset({"gear_ratios", "takes_velocity"}),
    toolbox=toolboxes.odrive,
    reaction_us=REACTION_US,
)
DAMIAO = ProtocolSpec(
    name="damiao",
    title="Damiao MIT mode",
    wire="can",
    plan_hz=250,
    watchdog="communication timeout: lets go (off unless asked for)",
    limits="ranges of position, velocity and torque in the motor",
    first_id=1,
    wire_us=_wire_us("damiao"),
    make_bus=_bus(_damiao, fd=False, watchdog_ms=0, reply_us=4000, budget_us=9000),
    make_emulation=_emulation(_damiao_motor),
    features=frozenset({"gear_ratios"}),
    toolbox=toolboxes.damiao,
    reaction_us=REACTION_US,
)
MOTEUS = ProtocolSpec(
    name="moteus",
    title="mjbots moteus registers",
    wire="can-fd",
    plan_hz=500,
    watchdog="in every command: holds still, latched until enabled again",
    limits="position bounds in the servo",
    first_id=1,
    wire_us=_wire_us("moteus"),
    make_bus=_bus(_moteus, fd=True, watchdog_ms=100, reply_us=2000, budget_us=5000),
    make_emulation=_emulation(_moteus_servo),
    features=frozenset({"gear_ratios"}),
    toolbox=toolboxes.moteus,
    reaction_us=REACTION_US,
)
CIA402 = ProtocolSpec(
    name="cia402",
    title="CANopen CiA 402, cyclic synchronous position",
    wire="can",
    plan_hz=250,
    watchdog="heartbeat of the host: quick stop, and holds",
    limits="software limits in the drive",
    first_id=1,
    wire_us=_wire_us("cia402"),
    make_bus=_bus(_cia402, fd=False, watchdog_ms=100, reply_us=4000, budget_us=9000),
    make_emulation=_emulation(_cia402_drive),
    features=frozenset({"gear_ratios"}),
    toolbox=toolboxes.cia402,
    reaction_us=REACTION_US,
)
