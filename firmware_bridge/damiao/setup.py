"""Bringing Damiao motors up and down."""

from __future__ import annotations

import math
import struct

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.link import CanLink
from firmware_bridge.damiao import codec
from firmware_bridge.damiao.codec import (
    DISABLED,
    ENABLED,
    INTEGER_REGISTERS,
    MIT_MODE,
    Access,
    Feedback,
    Ranges,
    Register,
    Special,
)
from firmware_bridge.damiao.dialect import DamiaoDialect
from firmware_bridge.errors import BridgeError, DeviceError

_INTEGER = struct.Struct("<I")
_FLOAT = struct.Struct("<f")


class DamiaoSetup:
    """``DeviceSetup`` for the motors of a bus."""

    def __init__(
        self,
        link: CanLink,
        ids: tuple[int, ...],
        master_offset: int,
        dialect: DamiaoDialect,
        watchdog_ms: int,
    ) -> None:
        self._link = link
        self._ids = ids
        self._master_offset = master_offset
        self._dialect = dialect
        self._watchdog_ms = watchdog_ms

    def check(self) -> None:
        """Each motor must be in MIT mode and without a fault; learns its ranges."""
        self._dialect.watched = False
        ranges: list[Ranges] = []
        torque_per_ampere: list[float] = []
        for joint, motor_id in enumerate(self._ids):
            mode = self._read(motor_id, Register.CTRL_MODE)
            if mode != MIT_MODE:
                raise DeviceError(f"motor {motor_id} is in control mode {mode:g}, not MIT mode")
            ranges.append(self._ranges(motor_id))
            constant = self._read(motor_id, Register.KT_VALUE)
            known = math.isfinite(constant) and constant > 0
            torque_per_ampere.append(constant if known else math.nan)
            self._raise_fault(motor_id, self._refresh(joint))
        self._dialect.set_motors(ranges, torque_per_ampere)

    def _ranges(self, motor_id: int) -> Ranges:
        names = (Register.PMAX, Register.VMAX, Register.TMAX)
        ranges = Ranges(*(self._read(motor_id, name) for name in names))
        if not all(0 < value < math.inf for value in ranges):
            raise DeviceError(f"motor {motor_id} tells impossible ranges {tuple(ranges)}")
        return ranges

    def _read(self, motor_id: int, register: Register) -> float:
        data = self._register(motor_id, register, codec.read_register(motor_id, register))
        form = _INTEGER if register in INTEGER_REGISTERS else _FLOAT
        value: float = form.unpack(data)[0]
        return value

    def _write(self, motor_id: int, register: Register, value: int) -> None:
        data = _INTEGER.pack(value)
        echo = self._register(
            motor_id, register, codec.write_register(motor_id, register, data), Access.WRITE
        )
        if echo != data:
            raise DeviceError(f"motor {motor_id} did not take {value} for {register.name}")

    def _register(
        self, motor_id: int, register: Register, question: CanFrame, access: Access = Access.READ
    ) -> bytes:
        def answer(frame: CanFrame) -> bytes | None:
            if frame.can_id != motor_id + self._master_offset:
                return None
            found = codec.read_register_answer(motor_id, frame.data)
            fits = found is not None and (found.access, found.register) == (access, register)
            return found.data if found is not None and fits else None

        return self._link.ask([question], answer, f"motor {motor_id} ({register.name})")

    def _refresh(self, joint: int) -> Feedback:
        return self._exchange(joint, codec.refresh(self._ids[joint]))

    def _exchange(self, joint: int, question: CanFrame) -> Feedback:
        def answer(frame: CanFrame) -> Feedback | None:
            return self._dialect.feedback(joint, frame)

        return self._link.ask([question], answer, f"motor {self._ids[joint]} (feedback)")

    def _raise_fault(self, motor_id: int, value: Feedback) -> None:
        if value.state not in (DISABLED, ENABLED):
            raise DeviceError(f"motor {motor_id} reports: {codec.describe_fault(value.state)}")

    def enable(self) -> None:
        """Hold where each motor stands; if one fails, those switched on here go off."""
        self._dialect.watched = False
        switched: list[int] = []
        try:
            for joint, motor_id in enumerate(self._ids):
                if self._enable_motor(joint, motor_id):
                    switched.append(motor_id)
        except BridgeError:
            self._link.tell([codec.special(i, Special.DISABLE) for i in switched])
            raise
        self._dialect.watched = True

    def _enable_motor(self, joint: int, motor_id: int) -> bool:
        """True if the motor had no torque before. An enabled motor is limp until commanded."""
        self._write(motor_id, Register.TIMEOUT, self._watchdog_ms * 1000 // codec.TIMEOUT_UNIT_US)
        self._exchange(joint, codec.special(motor_id, Special.CLEAR_ERRORS))
        present = self._refresh(joint)
        if present.state != ENABLED:
            self._exchange(joint, codec.special(motor_id, Special.ENABLE))
        held = self._exchange(joint, self._dialect.command(joint, present.position))
        if held.state != ENABLED:
            reason = codec.describe_fault(held.state) if held.state else "still disabled"
            raise DeviceError(f"motor {motor_id} refuses to be enabled: {reason}")
        return present.state != ENABLED

    def disable(self) -> None:
        """Torque off everywhere; raises the first error after every motor has been asked."""
        self._dialect.watched = False
        failures: list[BridgeError] = []
        for joint, motor_id in enumerate(self._ids):
            try:
                state = self._exchange(joint, codec.special(motor_id, Special.DISABLE)).state
                if state == ENABLED:
                    raise DeviceError(f"motor {motor_id} is still enabled")
            except BridgeError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def raise_if_stopped(self) -> None:
        """Faults of any motor, among them lost communication."""
        for joint, motor_id in enumerate(self._ids):
            value = self._refresh(joint)
            self._raise_fault(motor_id, value)
            if value.state == DISABLED:
                raise DeviceError(f"motor {motor_id} is disabled; enable again")
