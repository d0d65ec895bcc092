"""Names for what passes on a line of Feetech servos."""

from __future__ import annotations

from typing import Any

from firmware_bridge.devices import DEVICE, HOST, Decoded, by_register
from firmware_bridge.feetech import codec
from firmware_bridge.feetech.codec import BROADCAST_ID, Instruction, Packet, PacketParser
from firmware_bridge.feetech.registers import (
    SIGN_BIT,
    WIDTH,
    Register,
    describe_status,
    from_sign_magnitude,
)

_NAMES = {int(register): register.name.lower() for register in Register}


class FeetechDecoder:
    """``StreamDecoder``. Questions and answers look alike: where both directions share a wire, a
    packet from a servo whose answer is due, of the length that is due, is taken for its answer.
    """

    def __init__(self) -> None:
        self._parsers = {HOST: PacketParser(), DEVICE: PacketParser()}
        self._asked: tuple[int, int] | None = None  # address, length of the last question
        self._due: set[int] = set()

    @property
    def damaged(self) -> int:
        """Packets with a bad check sum."""
        return sum(parser.checksum_errors for parser in self._parsers.values())

    def feed(self, data: bytes, sender: str | None) -> list[Decoded]:
        """The packets that these bytes complete."""
        return [self._decode(packet, sender) for packet in self._parsers[sender or HOST].feed(data)]

    def _decode(self, packet: Packet, sender: str | None) -> Decoded:
        raw = codec.encode(*packet)
        if (sender or self._guess(packet)) == HOST:
            device_id = None if packet.device_id == BROADCAST_ID else packet.device_id
            return Decoded(HOST, device_id, _name(packet), self._question(packet), raw)
        self._due.discard(packet.device_id)
        return Decoded(DEVICE, packet.device_id, "status", self._answer(packet), raw)

    def _guess(self, packet: Packet) -> str:
        length = self._asked[1] if self._asked is not None else 0
        is_due = packet.device_id in self._due and len(packet.parameters) == length
        return DEVICE if is_due or packet.code not in set(Instruction) else HOST

    def _question(self, packet: Packet) -> dict[str, Any]:
        parameters, self._asked = packet.parameters, None
        self._due = set() if packet.device_id == BROADCAST_ID else {packet.device_id}
        if packet.code == Instruction.READ and len(parameters) == 2:
            return self._read(parameters)
        if packet.code == Instruction.SYNC_READ and len(parameters) >= 2:
            self._due = set(parameters[2:])
            return self._read(parameters) | {"ids": list(parameters[2:])}
        if packet.code == Instruction.WRITE and parameters:
            return registers(parameters[0], parameters[1:])
        if packet.code == Instruction.SYNC_WRITE and len(parameters) >= 2:
            return _blocks(parameters)
        return {}

    def _read(self, parameters: bytes) -> dict[str, Any]:
        address, length = self._asked = parameters[0], parameters[1]
        return {"from": _NAMES.get(address, address), "bytes": length}

    def _answer(self, packet: Packet) -> dict[str, Any]:
        fields: dict[str, Any] = {"fault": describe_status(packet.code)} if packet.code else {}
        if self._asked is not None and len(packet.parameters) == self._asked[1]:
            return fields | registers(self._asked[0], packet.parameters)
        return fields | ({"data": packet.parameters.hex()} if packet.parameters else {})


def _name(packet: Packet) -> str:
    known = packet.code in Instruction.__members__.values()
    return Instruction(packet.code).name.lower() if known else f"{packet.code:#04x}"


def registers(address: int, data: bytes) -> dict[str, Any]:
    """The registers that stand in ``data`` from ``address`` on; other bytes are left out."""
    fields = {}
    for at in range(len(data)):
        if address + at not in _NAMES:
            continue
        register = Register(address + at)
        piece = data[at : at + WIDTH[register]]
        if len(piece) == WIDTH[register]:
            raw = int.from_bytes(piece, "little")
            sign_bit = SIGN_BIT.get(register)
            value = raw if sign_bit is None else from_sign_magnitude(raw, sign_bit)
            fields[_NAMES[register]] = value
    return fields


def _blocks(parameters: bytes) -> dict[str, Any]:
    """What a sync write says; see ``by_register``."""
    address, length = parameters[0], parameters[1]
    found = {
        parameters[at]: registers(address, parameters[at + 1 : at + 1 + length])
        for at in range(2, len(parameters) - length, length + 1)
    }
    return by_register(found)
