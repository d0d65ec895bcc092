"""Asking single Feetech servos: who is there, how quick, and another id."""

from __future__ import annotations

from collections.abc import Sequence

from firmware_bridge.devices import Found
from firmware_bridge.errors import BusTimeout, DeviceError
from firmware_bridge.feetech.codec import MAX_ID
from firmware_bridge.feetech.link import ServoLink
from firmware_bridge.feetech.registers import MODELS, Register, describe_status
from firmware_bridge.transports import Transport

SCAN_TIMEOUT_NS = 20_000_000  # a USB adapter with a latency timer of 16 ms still gets through
SCAN_ATTEMPTS = 2


class FeetechTools:
    """``DeviceTools`` for STS and SMS servos, which answer no broadcast when they are several."""

    ids = range(MAX_ID + 1)
    fixed_id = ""

    def __init__(self, transport: Transport, scan_timeout_ns: int = SCAN_TIMEOUT_NS) -> None:
        self._link = ServoLink(transport)
        self._search = ServoLink(transport, SCAN_ATTEMPTS, scan_timeout_ns)
        self._one_shot = ServoLink(transport, attempts=1)

    def scan(self, ids: Sequence[int]) -> list[Found]:
        """Each id in turn: 10 s for all, most of it waiting for those that are not there."""
        return [found for device_id in ids if (found := self._look_for(device_id)) is not None]

    def _look_for(self, device_id: int) -> Found | None:
        try:
            bits = self._search.ping(device_id)
        except BusTimeout:
            return None
        try:
            return self._describe(device_id, bits)
        except (BusTimeout, DeviceError) as error:  # two servos of one id answer like this
            return Found(device_id, state=f"answers badly: {error}")

    def _describe(self, device_id: int, bits: int) -> Found:
        read = self._link.read
        number = read(device_id, Register.MODEL_NUMBER)
        version = (Register.FIRMWARE_MAJOR, Register.FIRMWARE_MINOR)
        firmware = ".".join(str(read(device_id, part)) for part in version)
        state = "torque on" if read(device_id, Register.TORQUE_ENABLE) else "torque off"
        state += f", fault: {describe_status(bits)}" if bits else ""
        return Found(device_id, MODELS.get(number, f"model {number}"), firmware, state)

    def ping(self, device_id: int) -> None:
        """See ``DeviceTools.ping``."""
        self._one_shot.ping(device_id)

    def set_id(self, device_id: int, new_id: int) -> None:
        """The id is EEPROM, behind a lock; which id confirms the change differs by firmware."""
        self._link.write(device_id, Register.TORQUE_ENABLE, 0)
        self._link.write(device_id, Register.LOCK, 0)
        self._link.tell(device_id, Register.ID, new_id)
        self._link.write(new_id, Register.LOCK, 1)
        if self._link.read(new_id, Register.ID) != new_id:
            raise DeviceError(f"servo {device_id} did not take id {new_id}")
