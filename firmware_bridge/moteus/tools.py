"""Asking single moteus servos: who is there, how quick, and another id."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.link import CanLink
from firmware_bridge.devices import Found
from firmware_bridge.errors import DeviceError
from firmware_bridge.moteus import codec, console
from firmware_bridge.moteus.codec import ANSWER, MAX_ID, READ, WRITE, Mode, Register, Width
from firmware_bridge.transports.can_port import CanTransport

LISTEN_NS = 100_000_000
_IDENTITY = bytes((READ | Width.INT32 << 2 | 2, 0x80, 0x02))  # two registers from 0x100 on
_QUESTION = (
    codec.header(READ, Width.INT8, Register.MODE, 1)
    + codec.header(READ, Width.INT8, Register.FAULT, 1)
    + _IDENTITY
)
_PING = codec.header(READ, Width.INT8, Register.MODE, 1)
_STOP = codec.header(WRITE, Width.INT8, Register.MODE, 1) + bytes((Mode.STOPPED,))
Values = dict[int, float]


class MoteusTools:
    """``DeviceTools`` over registers and, for the id, the diagnostic console."""

    ids = range(1, MAX_ID + 1)
    fixed_id = ""

    def __init__(self, transport: CanTransport, listen_ns: int = LISTEN_NS) -> None:
        self._link = CanLink(transport)
        self._listen_ns = listen_ns

    def scan(self, ids: Sequence[int]) -> list[Found]:
        """Whoever answers a question for its mode."""
        heard: dict[int, Values] = {}

        def note(frame: CanFrame) -> None:
            servo_id = frame.can_id >> 8
            if servo_id in ids and frame.can_id == codec.answer_id(servo_id):
                heard.setdefault(servo_id, {}).update(_values(frame))

        self._link.forget()
        for servo_id in ids:
            self._link.tell([codec.frame(codec.command_id(servo_id), _QUESTION)])
            self._link.listen(note, 1)
        self._link.listen(note, self._listen_ns)
        return [_describe(i, heard[i]) for i in sorted(heard) if Register.MODE in heard[i]]

    def ping(self, device_id: int) -> None:
        """The mode."""
        question = codec.frame(codec.command_id(device_id), _PING)
        self._link.ask([question], _answer(device_id), f"servo {device_id}", attempts=1)

    def set_id(self, device_id: int, new_id: int) -> None:
        """Stopped, then ``conf set id.id`` and ``conf write``; it moves at once to the new id."""
        stop = codec.frame(codec.command_id(device_id), _STOP + _PING)
        self._link.ask([stop], _answer(device_id), f"servo {device_id} (stop)")
        said = console.say(self._link, device_id, f"conf set id.id {new_id}", new_id)
        if not said.startswith("OK"):
            raise DeviceError(f"servo {device_id} refuses id {new_id}: {said or 'it says nothing'}")
        written = console.say(self._link, new_id, "conf write", new_id)
        if not written.startswith("OK"):
            raise DeviceError(f"servo {new_id} does not keep its id: {written or 'silence'}")


def _values(frame: CanFrame) -> Values:
    return {s.register: s.value for s in codec.parse(frame.data) if s.kind == ANSWER}


def _answer(servo_id: int) -> Callable[[CanFrame], Values | None]:
    """Takes the registers that one servo answers."""

    def take(frame: CanFrame) -> Values | None:
        return (_values(frame) or None) if frame.can_id == codec.answer_id(servo_id) else None

    return take


def _describe(servo_id: int, values: Values) -> Found:
    model, firmware = "moteus", ""
    if Register.MODEL_NUMBER in values:
        model = f"moteus, model {int(values[Register.MODEL_NUMBER]):#x}"
    if Register.FIRMWARE_VERSION in values:
        version = int(values[Register.FIRMWARE_VERSION])
        firmware = f"{version >> 16}.{version >> 8 & 0xFF}.{version & 0xFF}"
    return Found(servo_id, model, firmware, _state(values))


def _state(values: Values) -> str:
    mode = int(values[Register.MODE])
    if mode == Mode.STOPPED:
        return "torque off"
    if mode == Mode.FAULT:
        return f"fault: {codec.describe_fault(int(values.get(Register.FAULT, 0)))}"
    return "watchdog tripped" if mode == Mode.TIMEOUT else f"torque on (mode {mode})"
