"""Names for what passes on a line of Dynamixel servos."""

from __future__ import annotations

import struct
from typing import Any

from firmware_bridge.devices import DEVICE, HOST, Decoded, by_register
from firmware_bridge.dynamixel import codec
from firmware_bridge.dynamixel.codec import BROADCAST_ID, ErrorNumber, Instruction, Packet, Status
from firmware_bridge.dynamixel.parser import PacketParser
from firmware_bridge.dynamixel.registers import SIGNED, WIDTH, Register

PING_DATA = 3
_NAMES = {int(register): register.name.lower() for register in Register}
_READS = (Instruction.READ, Instruction.SYNC_READ, Instruction.FAST_SYNC_READ)


class DynamixelDecoder:
    """``StreamDecoder``: answers are named by the question before them."""

    def __init__(self) -> None:
        self._parsers = {HOST: PacketParser(), DEVICE: PacketParser()}
        self._asked: tuple[int, int] | None = None  # address, length of the last question

    @property
    def damaged(self) -> int:
        """Packets with a bad CRC, and bytes of no packet."""
        return sum(p.crc_errors + p.dropped_bytes for p in self._parsers.values())

    def feed(self, data: bytes, sender: str | None) -> list[Decoded]:
        """The packets that these bytes complete."""
        packets = self._parsers[sender or HOST].feed(data)
        return [decoded for packet in packets for decoded in self._decode(packet)]

    def _decode(self, packet: Packet) -> list[Decoded]:
        raw = codec.encode(*packet)
        if packet.instruction != Instruction.STATUS:
            device_id = None if packet.device_id == BROADCAST_ID else packet.device_id
            return [Decoded(HOST, device_id, _name(packet), self._question(packet), raw)]
        if packet.device_id != BROADCAST_ID or self._asked is None:
            status = codec.as_status(packet)
            return [self._answer(status, raw)] if status is not None else []
        return [self._answer(one, raw) for one in codec.split_fast_sync(packet, self._asked[1])]

    def _question(self, packet: Packet) -> dict[str, Any]:
        parameters = packet.parameters
        self._asked = None
        if packet.instruction in _READS and len(parameters) >= 4:
            address, length = self._asked = struct.unpack_from("<HH", parameters)
            fields: dict[str, Any] = {"from": _NAMES.get(address, address), "bytes": length}
            return fields | ({"ids": list(parameters[4:])} if len(parameters) > 4 else {})
        if packet.instruction == Instruction.WRITE and len(parameters) >= 2:
            return registers(int.from_bytes(parameters[:2], "little"), parameters[2:])
        if packet.instruction == Instruction.SYNC_WRITE and len(parameters) >= 4:
            return _blocks(parameters)
        return {}

    def _answer(self, status: Status, raw: bytes) -> Decoded:
        fields: dict[str, Any] = {}
        if number := status.error & ~codec.ALERT_BIT:
            known = number in ErrorNumber.__members__.values()
            fields["error"] = ErrorNumber(number).name.lower() if known else number
        if status.error & codec.ALERT_BIT:
            fields["alert"] = 1
        if self._asked is not None and len(status.data) == self._asked[1]:
            fields |= registers(self._asked[0], status.data)
        elif len(status.data) == PING_DATA:
            model = int.from_bytes(status.data[:2], "little")
            fields |= {"model_number": model, "firmware_version": status.data[2]}
        elif status.data:
            fields["data"] = status.data.hex()
        return Decoded(DEVICE, status.device_id, "status", fields, raw)


def _name(packet: Packet) -> str:
    known = packet.instruction in Instruction.__members__.values()
    return Instruction(packet.instruction).name.lower() if known else f"{packet.instruction:#04x}"


def registers(address: int, data: bytes) -> dict[str, Any]:
    """The registers that stand in ``data`` from ``address`` on; other bytes as hexadecimal."""
    fields: dict[str, Any] = {}
    at = 0
    while at < len(data):
        known = address + at in _NAMES
        width = WIDTH[Register(address + at)] if known else 1
        piece = data[at : at + width]
        if known and len(piece) == width:
            signed = address + at in SIGNED
            fields[_NAMES[address + at]] = int.from_bytes(piece, "little", signed=signed)
        else:
            fields[str(address + at)] = piece.hex()
        at += width
    return fields


def _blocks(parameters: bytes) -> dict[str, Any]:
    """What a sync write says; see ``by_register``."""
    address, length = struct.unpack_from("<HH", parameters)
    found = {
        parameters[at]: registers(address, parameters[at + 1 : at + 1 + length])
        for at in range(4, len(parameters) - length, length + 1)
    }
    return by_register(found)
