"""Rigs with an oatlink controller between the bus and emulated Dynamixel servos."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from firmware_bridge.dynamixel.units import CENTRE_TICKS, RAD_PER_TICK
from firmware_bridge.emulation.can_fd_gateway import CanFdGateway
from firmware_bridge.emulation.chains import plain_chain
from firmware_bridge.emulation.controllers import (
    QEMU,
    ControllerProcess,
    HostController,
    QemuController,
)
from firmware_bridge.emulation.paced_pty import PacedPty
from firmware_bridge.emulation.plant import FirstOrderPlant
from firmware_bridge.emulation.robot import EmulatedRobot
from firmware_bridge.errors import BridgeError
from firmware_bridge.oatlink import (
    CanFdLine,
    JointSettings,
    OatlinkBus,
    OatlinkConfig,
    SerialLine,
)
from firmware_bridge.oatlink.codes import State
from firmware_bridge.oatlink.firmware import TARGETS
from firmware_bridge.oatlink.key_file import read_key
from firmware_bridge.oatlink.lines import PayloadLine
from firmware_bridge.transports.can_address import can_port
from firmware_bridge.transports.serial_port import SerialPort
from tests.contract.rigs import (
    BAUD,
    DIRECTIONS,
    JOINTS,
    PATIENT,
    RATES,
    ZEROS_RAD,
    CanChannel,
    Patience,
    Runner,
)
from tests.needs import missing

PATIENT_SILENCE_MS = 60_000
KEY = bytes(range(100, 132))


class OatlinkRig:
    """The core as a program, between two pseudo-terminals."""

    has_watchdog = True
    can_vanish = True
    resolution_rad = RAD_PER_TICK
    target = "host"
    tool = "make"

    def __init__(self, watchdog_ms: int = 0) -> None:
        for tool in (self.tool, TARGETS[self.target][1]):
            if shutil.which(tool) is None:
                missing(tool)
        self.ids = tuple(range(1, JOINTS + 1))
        self.plant = FirstOrderPlant(JOINTS)
        self.servos = plain_chain(JOINTS)
        self.endpoint = PacedPty(BAUD)
        self.robot = EmulatedRobot(self.plant, self.servos, self.endpoint)
        self._runner = Runner(self.robot.run_until, self.endpoint.close)
        self.controller = self.start()
        self.made: OatlinkBus | None = None
        del watchdog_ms  # the bus configures it

    def start(self) -> ControllerProcess:
        return HostController(self.endpoint.path)

    def bus(self, patience: Patience = PATIENT, strict: bool = False) -> OatlinkBus:
        """``strict``: with the controller's clock held to account, and the motors' watchdogs on."""
        config = self.config(patience, strict)
        self.made = OatlinkBus(self.line(config), config)
        return self.made

    def config(self, patience: Patience, strict: bool) -> OatlinkConfig:
        joints = tuple(
            JointSettings(id_, -3.3, 3.3, 3.0, 30.0, 0.5, direction, zero_rad)
            for id_, direction, zero_rad in zip(self.ids, DIRECTIONS, ZEROS_RAD, strict=True)
        )
        return OatlinkConfig(
            joints,
            silence_ms=patience.watchdog_ms or (250 if strict else PATIENT_SILENCE_MS),
            max_age_ms=100 if strict else 1000,
            max_ahead_ms=100 if strict else 1000,
            horizon_ms=2000,
            lead_us=200_000,
            watchdog_ms=300 if strict else 0,
            read_budget_us=patience.budget_us,
        )

    def line(self, config: OatlinkConfig) -> PayloadLine:
        return SerialLine(SerialPort(self.controller.path, BAUD))

    def place(self, position_rad: np.ndarray) -> None:
        self.plant.position_rad[:] = position_rad
        self.robot.settle()

    def goals_rad(self) -> np.ndarray:
        return np.array([(s.goal_ticks - CENTRE_TICKS) * RAD_PER_TICK for s in self.servos])

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
        """All joints at once: it is the controller that stops."""
        assert self.made is not None
        with contextlib.suppress(BridgeError):
            self.made.read_state()
        telemetry = self.made.watch.telemetry
        return JOINTS if telemetry is not None and telemetry.state == State.LATCHED else 0

    def unplug(self) -> None:
        self.controller.close()
        self._runner.stop()

    close = unplug


class OatlinkQemuRig(OatlinkRig):
    """The firmware on an emulated Cortex-M3."""

    target = "lm3s6965"
    tool = QEMU

    def start(self) -> QemuController:
        return QemuController(self.endpoint.path)


class OatlinkKeyRig(OatlinkRig):
    """A link with a key on both sides."""

    def __init__(self, watchdog_ms: int = 0) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="oat-key-")
        self.key_file = Path(self._folder.name) / "arm.key"
        self.key_file.touch(mode=0o600)
        self.key_file.write_text(KEY.hex() + "\n")
        super().__init__(watchdog_ms)

    def start(self) -> ControllerProcess:
        return HostController(self.endpoint.path, key_file=self.key_file)

    def config(self, patience: Patience, strict: bool) -> OatlinkConfig:
        return replace(super().config(patience, strict), key=read_key(self.key_file))

    def unplug(self) -> None:
        super().unplug()
        self._folder.cleanup()

    close = unplug


class OatlinkFdRig(OatlinkRig):
    """The core as a program, behind a CAN driver on a simulated bus or another channel."""

    node = 3
    make_channel: type = CanChannel
    with_tag = False

    def __init__(self, watchdog_ms: int = 0) -> None:
        super().__init__(watchdog_ms)
        self.channel = self.make_channel()
        client = self.channel.client(queue_length=100)
        self.gateway = CanFdGateway(self.controller.path, client, self.node, self.with_tag)
        self._gateway_runner = Runner(self.gateway.run_until, self.gateway.close)

    def line(self, config: OatlinkConfig) -> PayloadLine:
        address = f"{self.channel.interface}:{self.channel.name}"
        port = can_port(address, RATES.nominal, RATES.data)
        return CanFdLine.of(port, config, self.node)

    def unplug(self) -> None:
        self._gateway_runner.stop()
        self.channel.close()
        super().unplug()

    close = unplug


class OatlinkKeyFdRig(OatlinkKeyRig, OatlinkFdRig):
    """A key on both sides of a simulated CAN-FD bus."""

    with_tag = True


OATLINK_RIGS = {
    "oatlink (C core) on serial": OatlinkRig,
    "oatlink (C core) with a key on serial": OatlinkKeyRig,
    "oatlink (C core) on oatcan (FD)": OatlinkFdRig,
    "oatlink (Cortex-M3 in QEMU) on serial": OatlinkQemuRig,
}
