"""``JointBus`` over CAN: one cycle for all protocols, which differ in their ``CanDialect``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from firmware_bridge.bus import checked_targets
from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.errors import BridgeError, BusTimeout
from firmware_bridge.messages import Float64Array, JointState, SafeSetpoint
from firmware_bridge.transports.can_port import CanTransport


@dataclass(frozen=True, slots=True)
class CycleTiming:
    """How long a reading may take.

    ``reply_timeout_us`` is waited for the answers to one question, ``read_budget_us`` bounds a
    whole ``read_state`` with its one retry. ``riding``: the answers that devices send to their
    setpoints are the next reading, so a cycle needs no question of its own; they are then one tick
    old.
    ``silence_ms``: after such a silence the devices may have stopped, and are asked before a
    setpoint is sent (0: they never stop).
    """

    reply_timeout_us: int = 4000
    read_budget_us: int = 9000
    riding: bool = False
    silence_ms: int = 0

    def __post_init__(self) -> None:
        if self.reply_timeout_us <= 0 or self.read_budget_us <= 0 or self.silence_ms < 0:
            raise ValueError(f"timing {self} is not allowed (allowed: times above 0)")


class Measured(NamedTuple):
    """Joint positions [rad], velocities [rad/s] and currents [mA], each (joints,) float64."""

    position_rad: Float64Array
    velocity_rad_s: Float64Array
    current_ma: Float64Array

    @classmethod
    def of_pairs(
        cls,
        pairs: Sequence[bytes],
        code: str,
        currents: Sequence[float] | float,
        scaling: tuple[Float64Array, Float64Array],
    ) -> Measured:
        """From a position and a velocity of each joint as they came, both of dtype ``code``.

        ``currents`` are device codes too; ``scaling`` is that of ``JointScale.rows``.
        """
        state, (factors, offsets) = np.empty((3, len(pairs))), scaling
        state[:2] = np.frombuffer(b"".join(pairs), code).reshape(-1, 2).T
        state[2] = currents
        state *= factors
        state += offsets
        return cls(*state)


class CanDialect(Protocol):
    """The frames of a control cycle in one protocol; does no input or output."""

    def questions(self, joints: Sequence[int]) -> list[CanFrame]:
        """Frames that ask these joints (indices) for their state."""

    def setpoints(self, targets: Float64Array) -> list[CanFrame]:
        """Frames that command finite positions [rad], clipped to what the wire can say.

        For joints that take velocities (in protocols that have such) the target is one [rad/s].
        """

    def accept(self, frame: CanFrame) -> int | None:
        """Take a frame in; returns the joint (index) whose state it completed.

        Raises ``DeviceError`` when it reports a fault. Never anything else, whatever the bytes.
        """

    def measured(self) -> Measured:
        """The last state of each joint, in arrays of its own."""


class DeviceSetup(Protocol):
    """Bringing the devices of a bus up and down; every step is verified by an answer."""

    def check(self) -> None:
        """See ``JointBus.open``."""

    def enable(self) -> None:
        """See ``JointBus.enable``."""

    def disable(self) -> None:
        """See ``JointBus.disable``."""

    def raise_if_stopped(self) -> None:
        """Raise ``DeviceError`` if a device stopped because this side had been silent."""


class CanJointBus:
    """Implements ``JointBus``; ``ids`` name the devices in errors.

    ``takes_velocity``, shape (joints,): which joints take velocities; None where none does.
    """

    def __init__(
        self,
        transport: CanTransport,
        dialect: CanDialect,
        setup: DeviceSetup,
        ids: Sequence[int],
        timing: CycleTiming,
        takes_velocity: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self._transport = transport
        self._dialect = dialect
        self._setup = setup
        self._ids = tuple(ids)
        self._timing = timing
        self._takes_velocity = takes_velocity
        self._missing: set[int] = set()
        self._asked_ns = 0  # when the question that answers are awaited for had been sent
        self._riding = False
        self._enabled = False

    def open(self) -> None:
        """Open the port and check each device; see ``JointBus.open``."""
        self._transport.open()
        try:
            self._setup.check()
        except BridgeError:
            self._transport.close()
            raise
        self._riding = False

    def read_state(self) -> JointState:
        """Read all joints; see ``JointBus.read_state``. Takes at most ``read_budget_us``."""
        budget_end_ns = time.monotonic_ns() + self._timing.read_budget_us * 1000
        if self._riding:
            self._riding = False
        else:
            self._ask(range(len(self._ids)))
        self._collect(budget_end_ns)
        if self._missing and time.monotonic_ns() < budget_end_ns:
            self._ask(sorted(self._missing))
            self._collect(budget_end_ns)
        if self._missing:
            ids = ", ".join(str(self._ids[joint]) for joint in sorted(self._missing))
            raise BusTimeout(f"no answer from device {ids} within the read budget")
        return JointState(self._asked_ns, *self._dialect.measured())

    def _ask(self, joints: Sequence[int]) -> None:
        questions = self._dialect.questions(joints)
        self._take_waiting()
        self._missing = set(joints)
        self._transport.send(questions)
        self._asked_ns = time.monotonic_ns()

    def _take_waiting(self) -> None:
        """Take in what has come already: late answers (old news) and what devices tell unasked."""
        while (frame := self._transport.receive(0)) is not None:
            self._dialect.accept(frame)

    def _collect(self, budget_end_ns: int) -> None:
        start_ns = max(self._asked_ns, time.monotonic_ns())
        deadline_ns = min(start_ns + self._timing.reply_timeout_us * 1000, budget_end_ns)
        missing, receive, accept = self._missing, self._transport.receive, self._dialect.accept
        while missing:
            frame = receive(deadline_ns)
            if frame is None:
                return
            joint = accept(frame)
            if joint is not None:
                missing.discard(joint)

    def write_setpoints(self, setpoint: SafeSetpoint) -> None:
        """Send one target per joint; see ``JointBus.write_setpoints``."""
        targets = checked_targets(setpoint, self._takes_velocity, len(self._ids))
        silence_ns = self._timing.silence_ms * 1_000_000
        if self._enabled and 0 < silence_ns < time.monotonic_ns() - self._asked_ns:
            self._setup.raise_if_stopped()
        self._take_waiting()
        self._transport.send(self._dialect.setpoints(targets))
        self._asked_ns = time.monotonic_ns()
        self._missing = set(range(len(self._ids)))
        self._riding = self._timing.riding

    def enable(self) -> None:
        """Target = measured position, then torque on; see ``JointBus.enable``."""
        self._setup.enable()
        self._enabled, self._riding = True, False
        self._asked_ns = time.monotonic_ns()

    def disable(self) -> None:
        """Torque off on every device that answers; see ``JointBus.disable``."""
        self._enabled, self._riding = False, False
        self._setup.disable()

    def close(self) -> None:
        """Give the port back and leave torque as it is."""
        self._enabled, self._riding = False, False
        self._transport.close()
