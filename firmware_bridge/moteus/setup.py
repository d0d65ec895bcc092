"""Bringing moteus servos up and down."""

from __future__ import annotations

import math

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.link import CanLink
from firmware_bridge.errors import BridgeError, DeviceError
from firmware_bridge.moteus import codec
from firmware_bridge.moteus.codec import ANSWER, WRITE, Mode, Register, Width
from firmware_bridge.moteus.dialect import QUESTION, MoteusDialect, describe_mode

Values = dict[int, float]
_STOP = codec.header(WRITE, Width.INT8, Register.MODE, 1) + bytes((Mode.STOPPED,))


class MoteusSetup:
    """``DeviceSetup`` for the servos of a bus."""

    def __init__(self, link: CanLink, ids: tuple[int, ...], dialect: MoteusDialect) -> None:
        self._link = link
        self._ids = ids
        self._dialect = dialect

    def check(self) -> None:
        """Each servo must answer with a position and without a fault; moves nothing."""
        self._dialect.watched = False
        for servo_id in self._ids:
            values = self._state(servo_id)
            if values[Register.MODE] == Mode.FAULT:
                self._raise(servo_id, values)
            if not math.isfinite(values[Register.POSITION]):
                raise DeviceError(f"servo {servo_id} does not know its position")

    def _state(self, servo_id: int) -> Values:
        return self._exchange(servo_id, codec.frame(codec.command_id(servo_id), QUESTION))

    def _exchange(self, servo_id: int, question: CanFrame) -> Values:
        def answer(frame: CanFrame) -> Values | None:
            if frame.can_id != codec.answer_id(servo_id):
                return None
            values = {s.register: s.value for s in codec.parse(frame.data) if s.kind == ANSWER}
            wanted = {Register.MODE, Register.POSITION, Register.FAULT}
            return values if wanted <= values.keys() else None

        return self._link.ask([question], answer, f"servo {servo_id} (registers)")

    def _raise(self, servo_id: int, values: Values) -> None:
        what = describe_mode(int(values[Register.MODE]), int(values[Register.FAULT]))
        raise DeviceError(f"servo {servo_id} {what}")

    def enable(self) -> None:
        """Position mode where each servo stands; if one fails, those switched on here stop."""
        self._dialect.watched = False
        switched: list[int] = []
        try:
            for servo_id in self._ids:
                if self._enable_servo(servo_id):
                    switched.append(servo_id)
        except BridgeError:
            self._link.tell([_stop(servo_id) for servo_id in switched])
            raise
        self._dialect.watched = True

    def _enable_servo(self, servo_id: int) -> bool:
        """True if the servo was not in position mode before. Faults and timeouts want a stop."""
        before = self._state(servo_id)
        if before[Register.MODE] in (Mode.FAULT, Mode.TIMEOUT):
            before = self._exchange(servo_id, _stop(servo_id))
        position = before[Register.POSITION]
        if not math.isfinite(position):
            raise DeviceError(f"servo {servo_id} does not know its position")
        self._exchange(servo_id, self._dialect.command(servo_id, position))
        after = self._exchange(servo_id, self._dialect.command(servo_id, position))
        if after[Register.MODE] != Mode.POSITION:
            self._raise(servo_id, after)
        return before[Register.MODE] != Mode.POSITION

    def disable(self) -> None:
        """Stop everywhere; raises the first error after every servo has been asked."""
        self._dialect.watched = False
        failures: list[BridgeError] = []
        for servo_id in self._ids:
            try:
                self._stop_servo(servo_id)
            except BridgeError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def _stop_servo(self, servo_id: int) -> None:
        self._exchange(servo_id, _stop(servo_id))
        mode = self._state(servo_id)[Register.MODE]
        if mode == Mode.POSITION:
            raise DeviceError(f"servo {servo_id} did not stop")

    def raise_if_stopped(self) -> None:
        """Faults and timeouts of any servo."""
        for servo_id in self._ids:
            values = self._state(servo_id)
            if values[Register.MODE] != Mode.POSITION:
                self._raise(servo_id, values)


def _stop(servo_id: int) -> CanFrame:
    return codec.frame(codec.command_id(servo_id), _STOP + QUESTION)
