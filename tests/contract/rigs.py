"""One rig for each protocol and transport: an emulated chain, and its ``JointBus``."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from firmware_bridge.bus import JointBus
from firmware_bridge.can_bus.bit_time import BitRates
from firmware_bridge.can_bus.broker import Broker
from firmware_bridge.can_bus.client import BusClient, ControllerSettings
from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.rendezvous import take_channel
from firmware_bridge.cia402 import Cia402Config, cia402_bus
from firmware_bridge.damiao import DamiaoConfig, damiao_bus
from firmware_bridge.dynamixel import DynamixelBus, DynamixelConfig
from firmware_bridge.dynamixel.units import CENTRE_TICKS
from firmware_bridge.emulation.can_motor import CanMotor
from firmware_bridge.emulation.can_robot import EmulatedCanRobot
from firmware_bridge.emulation.chains import plain_chain
from firmware_bridge.emulation.cia402_drive import Cia402Drive
from firmware_bridge.emulation.damiao_motor import DamiaoMotor
from firmware_bridge.emulation.feetech_servo import FeetechChain, FeetechServo
from firmware_bridge.emulation.moteus_servo import MoteusServo
from firmware_bridge.emulation.odrive_axis import ODriveAxis
from firmware_bridge.emulation.paced_pty import PacedPty
from firmware_bridge.emulation.plant import FirstOrderPlant
from firmware_bridge.emulation.robot import EmulatedRobot
from firmware_bridge.emulation.serial_robot import EmulatedSerialRobot
from firmware_bridge.emulation.slcan_adapter import SlcanAdapter
from firmware_bridge.feetech import FeetechBus, FeetechConfig
from firmware_bridge.feetech.config import RAD_PER_TICK
from firmware_bridge.joint_map import JointMap
from firmware_bridge.moteus import MoteusConfig, moteus_bus
from firmware_bridge.odrive import ODriveConfig, odrive_bus
from firmware_bridge.transports.can_address import can_port
from firmware_bridge.transports.can_port import PythonCanPort
from firmware_bridge.transports.serial_port import SerialPort

JOINTS = 7
BAUD = 1_000_000
TURN_NS = 5_000_000
PATIENCE_S = 10.0
DIRECTIONS = (1, -1, 1, 1, -1, 1, 1)
ZEROS_RAD = (0.0, 0.1, -0.2, 0.0, 0.0, 0.3, 0.0)
RATES = BitRates(1_000_000, 5_000_000)
_NUMBERS = itertools.count()


class Runner:
    """Runs something in a thread, turn by turn, until the block ends."""

    def __init__(self, turn: Callable[[int], None], close: Callable[[], None]) -> None:
        self._turn, self._close = turn, close
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._turn(time.monotonic_ns() + TURN_NS)

    def stop(self) -> None:
        if not self._stop.is_set():
            self._stop.set()
            self._thread.join(PATIENCE_S)
            assert not self._thread.is_alive()
            self._close()


class CanChannel:
    """A simulated bus in a thread of this process."""

    interface = "oatcan"

    def __init__(self) -> None:
        self.name = f"test-{os.getpid()}-{next(_NUMBERS)}"
        taken = take_channel(self.name)
        assert taken is not None
        self.broker = Broker(self.name, RATES, *taken)
        self._runner = Runner(self.broker.run_once, self.broker.close)

    def client(self, queue_length: int = 10, **settings: bool) -> BusClient:
        made = BusClient(
            self.name, ControllerSettings(RATES, queue_length=queue_length, **settings)
        )
        made.open()
        return made

    def close(self) -> None:
        self._runner.stop()

    def __enter__(self) -> CanChannel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Patience:
    """Times of a bus under test: generous, because a busy machine keeps emulators waiting."""

    reply_us: int
    budget_us: int
    watchdog_ms: int = 0


PATIENT = Patience(300_000, 700_000)
HASTY = Patience(30_000, 80_000)


class CanRig:
    """A chain of emulated motors on a simulated CAN bus."""

    fd = False
    first_id = 1
    has_watchdog = True
    can_vanish = True
    resolution_rad = 1e-3
    make_channel: type = CanChannel

    def __init__(self, watchdog_ms: int = 0) -> None:
        self.channel = self.make_channel()
        self.plant = FirstOrderPlant(JOINTS)
        self.ids = tuple(range(self.first_id, self.first_id + JOINTS))
        self.joints = JointMap(self.ids, DIRECTIONS, ZEROS_RAD)
        motors = [self.motor(joint, id_, watchdog_ms) for joint, id_ in enumerate(self.ids)]
        self.robot = EmulatedCanRobot(self.plant, motors, self.channel.client(1000))
        self.absent: set[int] = set()
        self._runner = Runner(self.robot.run_until, self.robot.close)

    def motor(self, joint: int, device_id: int, watchdog_ms: int) -> CanMotor:
        raise NotImplementedError

    def make(self, transport: PythonCanPort, patience: Patience) -> JointBus:
        raise NotImplementedError

    def bus(self, patience: Patience = PATIENT) -> JointBus:
        data_bitrate = RATES.data if self.fd else None
        if isinstance(self.channel, SlcanChannel):
            return self.make(can_port(self.channel.address, RATES.nominal, data_bitrate), patience)
        options = None if self.fd else {"fd": True, "data_bitrate": RATES.data}
        interface = self.channel.interface
        port = PythonCanPort(interface, self.channel.name, RATES.nominal, data_bitrate, options)
        return self.make(port, patience)

    def place(self, position_rad: np.ndarray) -> None:
        """Put the joints somewhere and let the motors aim there."""
        self.plant.position_rad[:] = position_rad
        self.robot.motion.settle()

    def goals_rad(self) -> np.ndarray:
        return np.array([motor.goal_rad for motor in self.robot.motors])

    def torque(self) -> list[bool]:
        return [motor.has_torque for motor in self.robot.motors]

    def hold(self) -> None:
        self.robot.motion.hold()

    def silence(self, joint: int) -> None:
        """Cut one device's power."""
        self.robot.motors[joint].power = False

    def unsilence(self, joint: int) -> None:
        self.robot.motors[joint].power = True

    def reboot(self, joint: int) -> None:
        """Give one device its power back."""
        self.robot.motors[joint].restart()

    def lose_answers(self, count: int) -> None:
        """The next answers of devices get lost."""
        left = [None] * count
        self.robot.tamper = lambda frame: left.pop() if left else frame

    def fail(self, joint: int) -> None:
        """Let one device report a fault and switch itself off."""
        raise NotImplementedError

    def trips(self) -> int:
        return sum(motor.watchdog_trips for motor in self.robot.motors)

    def unplug(self) -> None:
        self._runner.stop()
        self.channel.close()

    close = unplug


class ODriveRig(CanRig):
    first_id = 0
    resolution_rad = 1e-6
    firmware = (0, 6)

    def motor(self, joint: int, device_id: int, watchdog_ms: int) -> ODriveAxis:
        return ODriveAxis(joint, device_id, self.firmware, watchdog_ms)

    def make(self, transport: PythonCanPort, patience: Patience) -> JointBus:
        config = ODriveConfig(
            self.joints,
            with_currents=self.firmware == (0, 6),
            watchdog_ms=patience.watchdog_ms,
            reply_timeout_us=patience.reply_us,
            read_budget_us=patience.budget_us,
        )
        return odrive_bus(transport, config)

    def fail(self, joint: int) -> None:
        axis = self.robot.motors[joint]
        assert isinstance(axis, ODriveAxis)
        axis.fail(0x40)


class ODrive05Rig(ODriveRig):
    firmware = (0, 5)


class DamiaoRig(CanRig):
    resolution_rad = 25.0 / 65535

    def motor(self, joint: int, device_id: int, watchdog_ms: int) -> DamiaoMotor:
        del watchdog_ms  # the bus sets it
        return DamiaoMotor(joint, device_id)

    def make(self, transport: PythonCanPort, patience: Patience) -> JointBus:
        config = DamiaoConfig(
            self.joints,
            watchdog_ms=patience.watchdog_ms,
            reply_timeout_us=patience.reply_us,
            read_budget_us=patience.budget_us,
        )
        return damiao_bus(transport, config)

    def fail(self, joint: int) -> None:
        motor = self.robot.motors[joint]
        assert isinstance(motor, DamiaoMotor)
        motor.fail(0xE)


class MoteusRig(CanRig):
    fd = True
    resolution_rad = 1e-6

    def motor(self, joint: int, device_id: int, watchdog_ms: int) -> MoteusServo:
        del watchdog_ms  # it travels in every command
        return MoteusServo(joint, device_id)

    def make(self, transport: PythonCanPort, patience: Patience) -> JointBus:
        config = MoteusConfig(
            self.joints,
            watchdog_ms=patience.watchdog_ms,
            reply_timeout_us=patience.reply_us,
            read_budget_us=patience.budget_us,
        )
        return moteus_bus(transport, config)

    def fail(self, joint: int) -> None:
        servo = self.robot.motors[joint]
        assert isinstance(servo, MoteusServo)
        servo.fail(33)


class Cia402Rig(CanRig):
    resolution_rad = 1e-4

    def motor(self, joint: int, device_id: int, watchdog_ms: int) -> Cia402Drive:
        del watchdog_ms  # the bus sets it
        return Cia402Drive(joint, device_id)

    def make(self, transport: PythonCanPort, patience: Patience) -> JointBus:
        config = Cia402Config(
            self.joints,
            watchdog_ms=patience.watchdog_ms,
            reply_timeout_us=patience.reply_us,
            read_budget_us=patience.budget_us,
        )
        return cia402_bus(transport, config)

    def fail(self, joint: int) -> None:
        drive = self.robot.motors[joint]
        assert isinstance(drive, Cia402Drive)
        drive.fail(0x3210)


class PortClient:
    """The emulated motors' end of a bus of python-can, in place of a ``BusClient``."""

    def __init__(self, interface: str, channel: str) -> None:
        self._port = PythonCanPort(interface, channel, data_bitrate=RATES.data)
        self._port.open()

    def receive(self, deadline_ns: int) -> CanFrame | None:
        return self._port.receive(deadline_ns)

    def send(self, frame: CanFrame, ready_ns: int | None = None) -> None:
        del ready_ns
        self._port.send([frame])

    def fileno(self) -> int:
        return self._port.fileno()

    def close(self) -> None:
        self._port.close()


class VirtualChannel:
    """A ``virtual`` bus of python-can: frames at once, no errors."""

    interface = "virtual"

    def __init__(self) -> None:
        self.name = f"test-{os.getpid()}-{next(_NUMBERS)}"

    def client(self, queue_length: int) -> PortClient:
        del queue_length
        return PortClient(self.interface, self.name)

    def close(self) -> None:
        pass


class OnVirtual:
    """Puts a rig's motors on python-can's own ``virtual`` interface."""

    @staticmethod
    def of(rig: type[CanRig]) -> type[CanRig]:
        members = {"make_channel": VirtualChannel, "can_vanish": False}
        return type(f"{rig.__name__}OnVirtual", (rig,), members)


class SlcanChannel(CanChannel):
    """A simulated bus with a serial adapter on it, through which the host works."""

    interface = "slcan"

    def __init__(self) -> None:
        super().__init__()
        self.adapter = SlcanAdapter(self.client(queue_length=100))
        self._adapter_runner = Runner(self.adapter.run_until, self.adapter.close)

    @property
    def address(self) -> str:
        return f"slcan:{self.adapter.path}?sleep_after_open=0"

    def close(self) -> None:
        self._adapter_runner.stop()
        super().close()


def on_slcan(rig: type[CanRig]) -> type[CanRig]:
    """Puts a rig's host behind a serial CAN adapter."""
    return type(f"{rig.__name__}OnSlcan", (rig,), {"make_channel": SlcanChannel})


class FeetechRig:
    """A chain of emulated STS servos on a paced pseudo-terminal."""

    has_watchdog = False
    can_vanish = True
    resolution_rad = RAD_PER_TICK
    with_currents = False

    def __init__(self, watchdog_ms: int = 0) -> None:
        del watchdog_ms
        self.plant = FirstOrderPlant(JOINTS)
        self.ids = tuple(range(1, JOINTS + 1))
        self.joints = JointMap(self.ids, DIRECTIONS, ZEROS_RAD)
        self.servos = [FeetechServo(joint, id_) for joint, id_ in enumerate(self.ids)]
        self.chain = FeetechChain(self.servos)
        self.endpoint = PacedPty(BAUD)
        self.path = self.endpoint.path
        self.robot = EmulatedSerialRobot(self.plant, self.servos, self.chain, self.endpoint)
        self._runner = Runner(self.robot.run_until, self.robot.close)

    def bus(self, patience: Patience = PATIENT) -> FeetechBus:
        config = FeetechConfig(
            self.joints,
            BAUD,
            self.with_currents,
            reply_slack_us=patience.reply_us,
            read_budget_us=patience.budget_us,
        )
        return FeetechBus(SerialPort(self.path, BAUD), config)

    def place(self, position_rad: np.ndarray) -> None:
        self.plant.position_rad[:] = position_rad
        self.robot.motion.settle()

    def goals_rad(self) -> np.ndarray:
        return np.array([servo.goal_rad for servo in self.servos])

    def torque(self) -> list[bool]:
        return [servo.has_torque for servo in self.servos]

    def hold(self) -> None:
        self.robot.motion.hold()

    def silence(self, joint: int) -> None:
        self.servos[joint].power = False

    def unsilence(self, joint: int) -> None:
        self.servos[joint].power = True

    def reboot(self, joint: int) -> None:
        self.servos[joint].restart()

    def lose_answers(self, count: int) -> None:
        left = [b""] * count
        self.chain.tamper = lambda data: left.pop() if left else data

    def fail(self, joint: int) -> None:
        self.servos[joint].fail(0x20)

    def unplug(self) -> None:
        self._runner.stop()

    close = unplug


class DynamixelRig:
    """Emulated X-series servos on a paced pseudo-terminal."""

    has_watchdog = True
    can_vanish = True
    resolution_rad = RAD_PER_TICK
    fast_sync = True

    def __init__(self, watchdog_ms: int = 0) -> None:
        del watchdog_ms  # the bus sets it
        self.plant = FirstOrderPlant(JOINTS)
        self.ids = tuple(range(1, JOINTS + 1))
        self.servos = plain_chain(JOINTS)
        endpoint = PacedPty(BAUD)
        self.path = endpoint.path
        self.robot = EmulatedRobot(self.plant, self.servos, endpoint)
        self._runner = Runner(self.robot.run_until, endpoint.close)

    def bus(self, patience: Patience = PATIENT) -> DynamixelBus:
        config = DynamixelConfig(
            self.ids,
            DIRECTIONS,
            ZEROS_RAD,
            baud=BAUD,
            fast_sync=self.fast_sync,
            watchdog_ms=patience.watchdog_ms,
            reply_slack_us=patience.reply_us,
            read_budget_us=patience.budget_us,
        )
        return DynamixelBus(SerialPort(self.path, BAUD), config)

    def place(self, position_rad: np.ndarray) -> None:
        self.plant.position_rad[:] = position_rad
        self.robot.settle()

    def goals_rad(self) -> np.ndarray:
        ticks = np.array([servo.goal_ticks for servo in self.servos])
        return (ticks - CENTRE_TICKS) * RAD_PER_TICK

    def torque(self) -> list[bool]:
        return [servo.has_torque for servo in self.servos]

    def hold(self) -> None:
        self.robot.hold()

    def silence(self, joint: int) -> None:
        self.robot.bus.absent.add(self.ids[joint])

    def unsilence(self, joint: int) -> None:
        self.robot.bus.absent.discard(self.ids[joint])

    def reboot(self, joint: int) -> None:
        self.servos[joint].reboot()
        self.unsilence(joint)

    def lose_answers(self, count: int) -> None:
        left = [b""] * count
        self.robot.bus.tamper = lambda data: left.pop() if left else data

    def fail(self, joint: int) -> None:
        self.servos[joint].fail(0x20)

    def trips(self) -> int:
        return self.robot.bus.watchdog_trips

    def unplug(self) -> None:
        self._runner.stop()

    close = unplug


class DynamixelPlainRig(DynamixelRig):
    fast_sync = False


class FeetechCurrentsRig(FeetechRig):
    with_currents = True


RIGS = {
    "dynamixel on serial": DynamixelRig,
    "dynamixel with plain sync read on serial": DynamixelPlainRig,
    "feetech on serial": FeetechRig,
    "feetech with currents on serial": FeetechCurrentsRig,
    "odrive-0.6 on oatcan": ODriveRig,
    "odrive-0.5 on oatcan": ODrive05Rig,
    "damiao on oatcan": DamiaoRig,
    "moteus on oatcan (FD)": MoteusRig,
    "cia402 on oatcan": Cia402Rig,
    "odrive-0.6 on virtual": OnVirtual.of(ODriveRig),
    "damiao on virtual": OnVirtual.of(DamiaoRig),
    "moteus on virtual (FD)": OnVirtual.of(MoteusRig),
    "cia402 on virtual": OnVirtual.of(Cia402Rig),
    "odrive-0.6 on slcan": on_slcan(ODriveRig),
    "moteus on slcan (FD)": on_slcan(MoteusRig),
}


@contextlib.contextmanager
def short_runtime_directory() -> Iterator[None]:
    """Sockets in a directory of their own, whose path is short enough for a socket."""
    before = os.environ.get("XDG_RUNTIME_DIR")
    with tempfile.TemporaryDirectory(prefix="oat-") as directory:
        os.environ["XDG_RUNTIME_DIR"] = directory
        try:
            yield
        finally:
            if before is None:
                del os.environ["XDG_RUNTIME_DIR"]
            else:
                os.environ["XDG_RUNTIME_DIR"] = before
