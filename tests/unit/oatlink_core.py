"""The C core through its shared library, on a clock that only tests move."""

from __future__ import annotations

import ctypes
import shutil
from functools import cache
from pathlib import Path

import numpy as np

from firmware_bridge.emulation.chains import plain_chain
from firmware_bridge.emulation.dynamixel_bus import EmulatedDynamixelBus
from firmware_bridge.emulation.plant import FirstOrderPlant
from firmware_bridge.emulation.robot import ServoCoupling
from firmware_bridge.oatlink import codes, firmware, messages, wire
from firmware_bridge.oatlink.cobs import Deframer
from firmware_bridge.oatlink.codes import State
from firmware_bridge.oatlink.config import JointSettings, OatlinkConfig
from firmware_bridge.oatlink.messages import Ack, Telemetry, Welcome
from firmware_bridge.oatlink.wire import Frame, Header, MessageType, Sealer
from tests.needs import missing

ROOM = 1024
FINE_PER_RAD = 1 << 24
POLL_US = 500
PLANT_STEP_US = 2000
NONCE = 0x600DCAFE


def built(target: str) -> Path:
    """A file made from the firmware's sources; a test without the tools is skipped."""
    for tool in ("make", firmware.TARGETS[target][1]):
        if shutil.which(tool) is None:
            missing(tool)
    return firmware.build(target)


@cache
def library() -> ctypes.CDLL:
    """The shared library, built if need be."""
    core = ctypes.CDLL(str(built("library")))
    core.oat_library_controller_size.restype = ctypes.c_size_t
    core.oat_library_crc32.restype = ctypes.c_uint32
    core.oat_library_seal.restype = ctypes.c_size_t
    core.oat_library_command.restype = ctypes.c_int32
    for name in ("to_host", "to_motors"):
        getattr(core, f"oat_library_{name}").restype = ctypes.c_size_t
    return core


class Core:
    """One controller of the C core: bytes in and out at given times [µs]."""

    def __init__(self, entropy: int = 1, key: bytes = b"") -> None:
        self._core = library()
        self._memory = ctypes.create_string_buffer(self._core.oat_library_controller_size())
        self._out = ctypes.create_string_buffer(ROOM)
        now = ctypes.c_uint64(0)
        self._core.oat_controller_start(self._memory, ctypes.c_uint32(entropy), key or None, now)

    def from_host(self, data: bytes, now_us: int) -> None:
        size = ctypes.c_size_t(len(data))
        self._core.oat_library_from_host(self._memory, data, size, ctypes.c_uint64(now_us))

    def from_motors(self, data: bytes) -> None:
        self._core.oat_library_from_motors(self._memory, data, ctypes.c_size_t(len(data)))

    def poll(self, now_us: int) -> None:
        self._core.oat_controller_poll(self._memory, ctypes.c_uint64(now_us))

    def to_host(self) -> bytes:
        return self._take("oat_library_to_host")

    def to_motors(self) -> bytes:
        return self._take("oat_library_to_motors")

    def _take(self, name: str) -> bytes:
        size = getattr(self._core, name)(self._memory, self._out, ctypes.c_size_t(ROOM))
        return self._out.raw[:size]

    def command_rad(self, joint: int) -> float:
        """Where the core wants this joint at this moment."""
        command = self._core.oat_library_command(self._memory, ctypes.c_size_t(joint))
        return float(command) / FINE_PER_RAD


def settings(**changes: float) -> JointSettings:
    values = {
        "min_rad": -3.0,
        "max_rad": 3.0,
        "max_velocity_rad_s": 3.0,
        "deceleration_rad_s2": 30.0,
        "max_step_rad": 0.3,
    } | changes
    return JointSettings(motor_id=1, **values)


def config(joints: int = 2, **changes: float) -> OatlinkConfig:
    base = settings()
    each = tuple(
        JointSettings(i + 1, base.min_rad, base.max_rad, 3.0, 30.0, 0.3) for i in range(joints)
    )
    return OatlinkConfig(each, **changes)  # type: ignore[arg-type]


class Rig:
    """A core between a simple host and emulated servos, in virtual time.

    The host's clock is the controller's, shifted by ``skew_us``. ``lose`` frames to the host or
    ``cut`` the motor line for faults.
    """

    def __init__(self, made: OatlinkConfig | None = None, key: bytes = b"", entropy: int = 1):
        self.config = made or config()
        self.key = key
        joints = len(self.config.joints)
        self.core = Core(entropy, key)
        self.plant = FirstOrderPlant(joints)
        self.servos = plain_chain(joints)
        self.motors = EmulatedDynamixelBus(self.servos)
        self.coupling = ServoCoupling(self.plant, self.servos)
        self.coupling.publish()
        self.now_us = 1000
        self.skew_us = 0
        self.cut = False
        self.session = 0
        self.welcome: Welcome | None = None
        self.telemetry: Telemetry | None = None
        self.acks: list[Ack] = []
        self.frames: list[Frame] = []
        self.goals: list[int] = []
        self._sealer = Sealer(key)
        self._deframer = Deframer(wire.MAX_PAYLOAD)
        self._sequence = 0
        self._plant_us = 0

    def reboot(self, entropy: int) -> None:
        self.core = Core(entropy, self.key)

    def run(self, duration_us: int) -> None:
        end_us = self.now_us + duration_us
        while self.now_us < end_us:
            self.now_us += POLL_US
            self.core.poll(self.now_us)
            self._serve_motors()
            self._step_plant()
            self._listen()

    def _serve_motors(self) -> None:
        asked = self.core.to_motors()
        if self.cut or not asked:
            return
        for reply in self.motors.receive(asked, self.now_us * 1000):
            self.core.from_motors(reply.data)

    def _step_plant(self) -> None:
        if self.now_us - self._plant_us < PLANT_STEP_US:
            return
        self._plant_us = self.now_us
        self.motors.check_watchdogs(self.now_us * 1000)
        if self.motors.changed:
            self.motors.changed = False
            self.coupling.command()
        self.plant.step(1)
        self.coupling.publish()
        self.goals.append(self.servos[0].goal_ticks)

    def _listen(self) -> None:
        for payload in self._deframer.feed(self.core.to_host()):
            frame = self._sealer.open(payload, self.session, self.now_us)
            if frame is not None:
                self._take(frame)

    def _take(self, frame: Frame) -> None:
        self.frames.append(frame)
        kind = frame.header.message_type
        if kind == MessageType.WELCOME:
            self.welcome = messages.unpack_welcome(frame.body)
            assert self.welcome is not None
            self.session = self.welcome.boot_id
        elif kind == MessageType.ACK:
            ack = messages.unpack_ack(frame.body)
            assert ack is not None
            self.acks.append(ack)
        elif kind == MessageType.TELEMETRY:
            self.telemetry = messages.unpack_telemetry(frame.body)

    def bytes_of(
        self, kind: MessageType, body: bytes = b"", sequence: int | None = None, age_us: int = 0
    ) -> bytes:
        if sequence is None:
            self._sequence = sequence = (self._sequence + 1) & 0xFFFF
        time_us = 0 if kind == MessageType.HELLO else self.now_us + self.skew_us - age_us
        return wire.frame_bytes(
            self._sealer.seal(Header(kind, sequence, time_us), self.session, body)
        )

    def send(self, kind: MessageType, body: bytes = b"", **how: int) -> None:
        self.core.from_host(self.bytes_of(kind, body, **how), self.now_us)
        self._listen()

    def hello(self, nonce: int = NONCE) -> None:
        self.send(MessageType.HELLO, messages.pack_word(nonce))

    def ask(self, kind: MessageType, body: bytes = b"", **how: int) -> Ack:
        """Send a request and run until its final answer."""
        self.acks.clear()
        self.send(kind, body, **how)
        for _ in range(400):
            if self.acks and self.acks[-1].result != codes.Result.IN_PROGRESS:
                break
            self.run(POLL_US)
        return self.acks[-1]

    def configure(self) -> None:
        for record in self.config.records:
            assert self.ask(MessageType.CONFIG, record).result == 0

    def arm(self) -> Ack:
        return self.ask(MessageType.ARM, messages.pack_word(self.config.crc))

    def engage(self) -> None:
        """HELLO, CONFIG, ARM; holding afterwards."""
        self.hello()
        self.configure()
        self.run(20_000)
        assert self.arm().result == 0

    def setpoints(
        self, knots: list[tuple[int, float]], joints: int | None = None, **how: int
    ) -> None:
        """Send knots of (µs from now, angle of every joint [rad])."""
        count = joints if joints is not None else len(self.config.joints)
        times_us = [self.now_us + self.skew_us + ahead_us for ahead_us, _ in knots]
        angles = np.array([[round(rad * 4096)] * count for _, rad in knots], np.int16)
        self.send(MessageType.SETPOINTS, messages.pack_setpoints(times_us, angles), **how)

    @property
    def report(self) -> Telemetry:
        """The newest telemetry, after a cycle more."""
        self.run(8000)
        assert self.telemetry is not None
        return self.telemetry

    @property
    def state(self) -> State:
        return State(self.report.state)
