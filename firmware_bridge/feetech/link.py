"""Question and answer with single servos: for set-up and faults, not for the cycle."""

from __future__ import annotations

import time

from firmware_bridge.errors import BusTimeout, DeviceError
from firmware_bridge.feetech import codec
from firmware_bridge.feetech.codec import Packet, PacketParser
from firmware_bridge.feetech.registers import (
    SIGN_BIT,
    WIDTH,
    Register,
    describe_status,
    from_sign_magnitude,
    to_sign_magnitude,
)
from firmware_bridge.transports import Transport

ATTEMPTS = 3
ANSWER_TIMEOUT_NS = 50_000_000


class ServoLink:
    """Asks one servo at a time, and a lost question up to ``attempts`` times in all.

    All methods raise ``BusTimeout`` naming the id when it stays silent.
    """

    def __init__(
        self,
        transport: Transport,
        attempts: int = ATTEMPTS,
        timeout_ns: int = ANSWER_TIMEOUT_NS,
    ) -> None:
        self._transport = transport
        self._attempts, self._timeout_ns = attempts, timeout_ns
        self._parser = PacketParser()

    def ping(self, device_id: int) -> int:
        """Return the servo's status bits."""
        return self._ask(device_id, codec.ping(device_id), 0, "ping").code

    def read(self, device_id: int, register: Register) -> int:
        """Return a register's value."""
        width = WIDTH[register]
        question = codec.read(device_id, register, width)
        answer = self._ask(device_id, question, width, f"read of {register.name}")
        raw = int.from_bytes(answer.parameters, "little")
        return from_sign_magnitude(raw, SIGN_BIT[register]) if register in SIGN_BIT else raw

    def write(self, device_id: int, register: Register, value: int) -> None:
        """Write a register; the servo's answer confirms it."""
        question = _write(device_id, register, value)
        self._ask(device_id, question, 0, f"write of {value} to {register.name}")

    def tell(self, device_id: int, register: Register, value: int) -> None:
        """Write a register once and let its answer, from whatever id, pass by."""
        self._exchange(device_id, _write(device_id, register, value), 0)

    def raise_status(self, device_id: int) -> None:
        """Raise ``DeviceError`` naming what the servo complains about, if anything."""
        if bits := self.ping(device_id):
            raise DeviceError(f"servo {device_id} reports: {describe_status(bits)}")

    def _ask(self, device_id: int, question: bytes, length: int, what: str) -> Packet:
        for _ in range(self._attempts):
            answer = self._exchange(device_id, question, length)
            if answer is not None:
                return answer
        raise BusTimeout(f"servo {device_id} does not answer ({what})")

    def _exchange(self, device_id: int, question: bytes, length: int) -> Packet | None:
        self._transport.flush_input()
        self._parser.reset()
        self._transport.write(question)
        deadline_ns = time.monotonic_ns() + self._timeout_ns
        missing = codec.OVERHEAD + length
        while data := self._transport.read(missing, deadline_ns):
            missing = 1
            for packet in self._parser.feed(data):
                if packet.device_id == device_id and len(packet.parameters) == length:
                    return packet
        return None


def _write(device_id: int, register: Register, value: int) -> bytes:
    raw = to_sign_magnitude(value, SIGN_BIT[register]) if register in SIGN_BIT else value
    return codec.write(device_id, register, raw.to_bytes(WIDTH[register], "little"))
