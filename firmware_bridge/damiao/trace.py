"""Names for the frames of Damiao motors in MIT mode."""

from __future__ import annotations

import struct
from typing import Any

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.damiao import codec
from firmware_bridge.damiao.codec import (
    DISABLED,
    ENABLED,
    INTEGER_REGISTERS,
    MAX_MOTOR_ID,
    Access,
    Ranges,
    Register,
    RegisterAnswer,
    Special,
)
from firmware_bridge.damiao.dialect import DEFAULT_RANGES
from firmware_bridge.devices import DEVICE, HOST, Decoded

_FULL_SCALE = {Register.PMAX: "position", Register.VMAX: "velocity", Register.TMAX: "torque"}
_FLOAT, _WORD = struct.Struct("<f"), struct.Struct("<I")
_STATES = {DISABLED: "disabled", ENABLED: "enabled"}


class DamiaoDecoder:
    """``FrameDecoder``. Full scale is a DM-J4310's until the motor's own ranges pass by, which a
    host reads when it opens the bus.
    """

    def __init__(self) -> None:
        self._ranges: dict[int, Ranges] = {}

    def decode(self, frame: CanFrame) -> Decoded | None:
        """Commands, register questions, feedback and echoes; all frames have 8 bytes."""
        if frame.extended or frame.remote or frame.fd or len(frame.data) != 8:
            return None
        if frame.can_id == codec.REGISTER_ID:
            return self._question(frame.data)
        if frame.can_id <= MAX_MOTOR_ID:
            return self._command(frame.can_id, frame.data)
        return self._answer(frame.data)

    def _question(self, data: bytes) -> Decoded:
        access = _name(Access, data[2])
        fields = {"register": _name(Register, data[3])}
        if data[2] == Access.WRITE:
            fields["value"] = _value(data[3], data[4:])
        shown = {} if data[2] in (Access.REFRESH, Access.SAVE) else fields
        return Decoded(HOST, data[0], access, shown, data)

    def _command(self, motor_id: int, data: bytes) -> Decoded:
        if data[:7] == b"\xff" * 7 and data[7] in Special.__members__.values():
            return Decoded(HOST, motor_id, Special(data[7]).name.lower(), {}, data)
        command = codec.read_mit_command(data, self._ranges.get(motor_id, DEFAULT_RANGES))
        return Decoded(HOST, motor_id, "mit", command._asdict(), data)

    def _answer(self, data: bytes) -> Decoded:
        motor_id = data[0] & 0x0F
        echo = codec.read_register_answer(motor_id, data)
        if echo is not None:
            self._learn(motor_id, echo)
            fields = {"register": _name(Register, echo.register)}
            if echo.access != Access.SAVE:
                fields["value"] = _value(echo.register, echo.data)
            return Decoded(DEVICE, motor_id, f"{_name(Access, echo.access)}_echo", fields, data)
        value = codec.read_feedback(motor_id, data, self._ranges.get(motor_id, DEFAULT_RANGES))
        if value is None:
            return Decoded(DEVICE, motor_id, "unknown", {"data": data.hex()}, data)
        state = _STATES.get(value.state) or codec.describe_fault(value.state)
        fields = value._asdict() | {"state": state}
        return Decoded(DEVICE, motor_id, "feedback", fields, data)

    def _learn(self, motor_id: int, echo: RegisterAnswer) -> None:
        if echo.register not in _FULL_SCALE or echo.access == Access.SAVE:
            return
        (value,) = _FLOAT.unpack(echo.data)
        if 0 < value < 1e6:
            known = self._ranges.get(motor_id, DEFAULT_RANGES)
            changed = {_FULL_SCALE[Register(echo.register)]: value}
            self._ranges[motor_id] = known._replace(**changed)


def _name(names: Any, value: int) -> str:
    return str(names(value).name.lower()) if value in names.__members__.values() else f"{value:#x}"


def _value(register: int, data: bytes) -> Any:
    form = _WORD if register in INTEGER_REGISTERS else _FLOAT
    return form.unpack(data)[0]
