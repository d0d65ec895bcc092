"""Rigs with an oatlink controller between the bus and emulated Dynamixel servos."""

from __future__ import annotations

import contextlib
import shutil

import numpy as np

from firmware_bridge.dynamixel.units import CENTRE_TICKS, RAD_PER_TICK
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
from firmware_bridge.oatlink import JointSettings, OatlinkBus, OatlinkConfig
from firmware_bridge.oatlink.codes import State
from firmware_bridge.oatlink.firmware import TARGETS
from firmware_bridge.transports.serial_port import SerialPort
from tests.contract.rigs import BAUD, DIRECTIONS, JOINTS, PATIENT, ZEROS_RAD, Patience, Runner
from tests.needs import missing

PATIENT_SILENCE_MS = 60_000


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
        joints = tuple(
            JointSettings(id_, -3.3, 3.3, 3.0, 30.0, 0.5, direction, zero_rad)
            for id_, direction, zero_rad in zip(self.ids, DIRECTIONS, ZEROS_RAD, strict=True)
        )
        config = OatlinkConfig(
            joints,
            silence_ms=patience.watchdog_ms or (250 if strict else PATIENT_SILENCE_MS),
            max_age_ms=100 if strict else 1000,
            max_ahead_ms=100 if strict else 1000,
            horizon_ms=2000,
            lead_us=200_000,
            watchdog_ms=300 if strict else 0,
            read_budget_us=patience.budget_us,
        )
        self.made = OatlinkBus(SerialPort(self.controller.path, BAUD), config)
        return self.made

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


OATLINK_RIGS = {
    "oatlink (C core) on serial": OatlinkRig,
    "oatlink (Cortex-M3 in QEMU) on serial": OatlinkQemuRig,
}
