"""Asking single Dynamixel servos: who is there, how quick, and another id."""

from __future__ import annotations

import time
from collections.abc import Sequence

from firmware_bridge.devices import Found
from firmware_bridge.dynamixel import codec
from firmware_bridge.dynamixel.codec import BROADCAST_ID, MAX_ID
from firmware_bridge.dynamixel.link import ServoLink
from firmware_bridge.dynamixel.parser import PacketParser
from firmware_bridge.dynamixel.registers import MODELS, Register, describe_hardware_error
from firmware_bridge.errors import BusTimeout, DeviceError
from firmware_bridge.transports import Transport

SCAN_NS = 800_000_000  # servos answer a broadcast in turn, 3 ms for each possible id
PING_DATA = 3  # model number (2), firmware
NO_SECONDARY_ID = 253


class DynamixelTools:
    """``DeviceTools`` for servos of Protocol 2.0."""

    ids = range(MAX_ID + 1)
    fixed_id = ""

    def __init__(self, transport: Transport, scan_ns: int = SCAN_NS) -> None:
        self._transport = transport
        self._scan_ns = scan_ns
        self._link = ServoLink(transport)
        self._one_shot = ServoLink(transport, attempts=1)

    def scan(self, ids: Sequence[int]) -> list[Found]:
        """Who answers a broadcast ping, then each by itself."""
        found = self._broadcast()
        return [self._describe(i, *found[i]) for i in sorted(found) if i in ids]

    def _broadcast(self) -> dict[int, tuple[int, int]]:
        """Model number and firmware of each id that answers."""
        parser, found = PacketParser(), {}
        self._transport.flush_input()
        self._transport.write(codec.ping(BROADCAST_ID))
        end_ns = time.monotonic_ns() + self._scan_ns
        while data := self._transport.read(1, end_ns):
            for packet in parser.feed(data):
                answer = codec.as_status(packet)
                if answer is not None and len(answer.data) == PING_DATA:
                    model = int.from_bytes(answer.data[:2], "little")
                    found[answer.device_id] = (model, answer.data[2])
        return found

    def _describe(self, device_id: int, model: int, firmware: int) -> Found:
        try:
            state = self._state(device_id)
        except (BusTimeout, DeviceError) as error:  # two servos of one id answer like this
            state = f"answers badly: {error}"
        return Found(device_id, MODELS.get(model, f"model {model}"), str(firmware), state)

    def _state(self, device_id: int) -> str:
        bits = self._link.read(device_id, Register.HARDWARE_ERROR_STATUS)
        secondary_id = self._link.read(device_id, Register.SECONDARY_ID)
        state = "torque on" if self._link.read(device_id, Register.TORQUE_ENABLE) else "torque off"
        if secondary_id < NO_SECONDARY_ID:
            state += f", follows {secondary_id}"
        return f"{state}, fault: {describe_hardware_error(bits)}" if bits else state

    def ping(self, device_id: int) -> None:
        """See ``DeviceTools.ping``."""
        self._one_shot.ping(device_id)

    def set_id(self, device_id: int, new_id: int) -> None:
        """The id is EEPROM, locked while torque is on; which id confirms it differs by firmware."""
        self._link.write(device_id, Register.TORQUE_ENABLE, 0)
        self._link.tell(device_id, Register.ID, new_id)
        if self._link.read(new_id, Register.ID) != new_id:
            raise DeviceError(f"servo {device_id} did not take id {new_id}")
