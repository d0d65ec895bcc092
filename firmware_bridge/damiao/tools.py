"""Asking single Damiao motors: who is there, how quick, and another id."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.link import CanLink
from firmware_bridge.damiao import codec
from firmware_bridge.damiao.codec import (
    DISABLED,
    ENABLED,
    MAX_MOTOR_ID,
    MIT_MODE,
    Access,
    RawFeedback,
    Register,
    RegisterAnswer,
    Special,
)
from firmware_bridge.devices import Found
from firmware_bridge.errors import DeviceError
from firmware_bridge.transports.can_port import CanTransport

LISTEN_NS = 100_000_000
_WORD = struct.Struct("<I")
_ASKED = (Register.MST_ID, Register.CTRL_MODE, Register.SW_VER)


class DamiaoTools:
    """``DeviceTools`` for motors in any control mode; they may answer from any master id."""

    ids = range(1, MAX_MOTOR_ID + 1)
    fixed_id = ""

    def __init__(self, transport: CanTransport, listen_ns: int = LISTEN_NS) -> None:
        self._link = CanLink(transport)
        self._listen_ns = listen_ns

    def scan(self, ids: Sequence[int]) -> list[Found]:
        """Whoever answers a question for its registers."""
        answers: dict[int, dict[int, int]] = {}
        states: dict[int, int] = {}

        def note(frame: CanFrame) -> None:
            motor_id = frame.data[0] & 0x0F if frame.data else 0
            if motor_id not in ids or frame.can_id == codec.REGISTER_ID:
                return
            value = codec.read_register_answer(motor_id, frame.data)
            if value is not None and value.access == Access.READ:
                answers.setdefault(motor_id, {})[value.register] = _WORD.unpack(value.data)[0]
            elif (raw := codec.read_raw_feedback(motor_id, frame.data)) is not None:
                states[motor_id] = raw.state

        self._link.forget()
        for motor_id in ids:
            questions = [codec.read_register(motor_id, register) for register in _ASKED]
            self._link.tell([*questions, codec.refresh(motor_id)])
            self._link.listen(note, 1)
        self._link.listen(note, self._listen_ns)
        return [_describe(i, answers[i], states.get(i)) for i in sorted(answers)]

    def ping(self, device_id: int) -> None:
        """Feedback, without a command."""
        question = [codec.refresh(device_id)]
        self._link.ask(question, _feedback(device_id), f"motor {device_id}", attempts=1)

    def set_id(self, device_id: int, new_id: int) -> None:
        """Disabled, then both ids by registers; the answers keep their distance to the motor's id.

        Raises ``DeviceError`` if the master id that would follow from it is another motor's id.
        """
        off = codec.special(device_id, Special.DISABLE)
        self._link.ask([off], _feedback(device_id), f"motor {device_id} (disable)")
        master_id = self._ask(device_id, codec.read_register(device_id, Register.MST_ID))
        new_master_id = master_id + new_id - device_id
        if not 0 < new_master_id < codec.REGISTER_ID:
            raise DeviceError(f"motor {device_id} answers from {master_id}: no room to follow")
        self._write(device_id, Register.MST_ID, new_master_id)
        self._link.tell(
            [codec.write_register(device_id, Register.ESC_ID, _WORD.pack(new_id))]
        )  # which id confirms it differs by firmware
        if self._ask(new_id, codec.read_register(new_id, Register.ESC_ID)) != new_id:
            raise DeviceError(f"motor {device_id} did not take id {new_id}")
        self._ask(new_id, codec.save(new_id), Access.SAVE)

    def _write(self, motor_id: int, register: Register, value: int) -> None:
        question = codec.write_register(motor_id, register, _WORD.pack(value))
        if self._ask(motor_id, question, Access.WRITE) != value:
            raise DeviceError(f"motor {motor_id} did not take {value} for {register.name}")

    def _ask(self, motor_id: int, question: CanFrame, access: Access = Access.READ) -> int:
        def answer(frame: CanFrame) -> RegisterAnswer | None:
            if frame.can_id == codec.REGISTER_ID:
                return None
            found = codec.read_register_answer(motor_id, frame.data)
            fits = found is not None and found.access == access
            return found if fits and (access == Access.SAVE or _same(found, question)) else None

        what = f"motor {motor_id} ({access.name.lower()} register)"
        value: int = _WORD.unpack(self._link.ask([question], answer, what).data)[0]
        return value


def _same(answer: RegisterAnswer | None, question: CanFrame) -> bool:
    return answer is not None and answer.register == question.data[3]


def _feedback(motor_id: int) -> Callable[[CanFrame], RawFeedback | None]:
    """Takes feedback of one motor, from whatever id it answers."""

    def take(frame: CanFrame) -> RawFeedback | None:
        if frame.can_id in (codec.REGISTER_ID, motor_id) or frame.remote:
            return None
        return codec.read_raw_feedback(motor_id, frame.data)

    return take


def _describe(motor_id: int, registers: dict[int, int], state: int | None) -> Found:
    notes = [_state(state)]
    master_id, mode = registers.get(Register.MST_ID), registers.get(Register.CTRL_MODE)
    if master_id is not None:
        notes.append(f"answers from {master_id:#x}")
    if mode not in (None, MIT_MODE):
        notes.append(f"control mode {mode}, not MIT")
    version = registers.get(Register.SW_VER)
    return Found(motor_id, "Damiao", "" if version is None else str(version), ", ".join(notes))


def _state(state: int | None) -> str:
    if state is None:
        return "no feedback"
    known = {DISABLED: "torque off", ENABLED: "torque on"}
    return known.get(state) or f"fault: {codec.describe_fault(state)}"
