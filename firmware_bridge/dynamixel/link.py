"""Question and answer with single servos: for set-up and faults, not for the cycle."""

from __future__ import annotations

import time

from firmware_bridge.dynamixel import codec
from firmware_bridge.dynamixel.codec import ALERT_BIT, ErrorNumber, Status
from firmware_bridge.dynamixel.parser import PacketParser
from firmware_bridge.dynamixel.registers import SIGNED, WIDTH, Register
from firmware_bridge.errors import BusTimeout, DeviceError
from firmware_bridge.transports import Transport

ATTEMPTS = 3
ANSWER_TIMEOUT_NS = 50_000_000  # an EEPROM write takes milliseconds


class ServoLink:
    """Asks one servo at a time, and a lost question up to ``attempts`` times in all.

    All methods raise ``BusTimeout`` naming the id when it stays silent, ``DeviceError`` when it
    refuses. An alert (hardware error) does not refuse: read ``HARDWARE_ERROR_STATUS`` for it.
    """

    def __init__(self, transport: Transport, attempts: int = ATTEMPTS) -> None:
        self._transport = transport
        self._attempts = attempts
        self._parser = PacketParser()

    def ping(self, device_id: int) -> int:
        """Return the servo's model number."""
        answer = self._ask(device_id, codec.ping(device_id), 3, "ping")
        return int.from_bytes(answer.data[:2], "little")

    def read(self, device_id: int, register: Register) -> int:
        """Return a register's value."""
        width = WIDTH[register]
        question = codec.read(device_id, register, width)
        answer = self._ask(device_id, question, width, f"read of {register.name}")
        return int.from_bytes(answer.data, "little", signed=register in SIGNED)

    def write(self, device_id: int, register: Register, value: int) -> None:
        """Write a register; the servo's answer confirms it."""
        question = _write(device_id, register, value)
        self._ask(device_id, question, 0, f"write of {value} to {register.name}")

    def tell(self, device_id: int, register: Register, value: int) -> None:
        """Write a register once and let its answer, from whatever id, pass by."""
        self._exchange(device_id, _write(device_id, register, value), 0)

    def _ask(self, device_id: int, question: bytes, data_length: int, what: str) -> Status:
        for _ in range(self._attempts):
            answer = self._exchange(device_id, question, data_length)
            if answer is not None:
                _refuse_error(answer, what)
                return answer
        raise BusTimeout(f"servo {device_id} does not answer ({what})")

    def _exchange(self, device_id: int, question: bytes, data_length: int) -> Status | None:
        self._transport.flush_input()
        self._parser.reset()
        self._transport.write(question)
        deadline_ns = time.monotonic_ns() + ANSWER_TIMEOUT_NS
        missing = codec.STATUS_OVERHEAD + data_length
        while data := self._transport.read(missing, deadline_ns):
            missing = 1
            for packet in self._parser.feed(data):
                answer = codec.as_status(packet)
                if answer is not None and _answers(answer, device_id, data_length):
                    return answer
        return None


def _write(device_id: int, register: Register, value: int) -> bytes:
    data = value.to_bytes(WIDTH[register], "little", signed=register in SIGNED)
    return codec.write(device_id, register, data)


def _answers(answer: Status, device_id: int, data_length: int) -> bool:
    """Tell an answer to this question from a late one to an earlier question."""
    refused = bool(answer.error & ~ALERT_BIT)
    return answer.device_id == device_id and (refused or len(answer.data) == data_length)


def _refuse_error(answer: Status, what: str) -> None:
    number = answer.error & ~ALERT_BIT
    if number:
        known = number in ErrorNumber.__members__.values()
        reason = ErrorNumber(number).name.lower().replace("_", " ") if known else f"number {number}"
        raise DeviceError(f"servo {answer.device_id} refuses the {what}: {reason} error")
