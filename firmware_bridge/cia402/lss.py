"""Another node id for one CANopen device: layer setting services (CiA 305).

The master speaks on 7E5h, the one device that is meant answers on 7E4h. A device is chosen by its
identity (object 1018h), so the others on the bus keep their ids.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.link import CanLink
from firmware_bridge.errors import DeviceError

MASTER_ID, SLAVE_ID = 0x7E5, 0x7E4
SWITCH_GLOBAL = 0x04
SELECT_FIRST, SELECTED = 0x40, 0x44  # 40h to 43h: vendor, product, revision, serial number
SET_NODE, STORE = 0x11, 0x17
WAITING, CONFIGURATION = 0, 1
_WORD = struct.Struct("<I")


class Identity(NamedTuple):
    """Object 1018h."""

    vendor: int
    product: int
    revision: int
    serial_number: int


def request(command: int, data: bytes = b"") -> CanFrame:
    """A frame of the master."""
    return CanFrame(MASTER_ID, (bytes((command,)) + data).ljust(8, b"\0"))


def answer(command: int, data: bytes = b"") -> CanFrame:
    """A frame of the device."""
    return CanFrame(SLAVE_ID, (bytes((command,)) + data).ljust(8, b"\0"))


class LssMaster:
    """Changes one device at a time."""

    def __init__(self, link: CanLink) -> None:
        self._link = link

    def set_node(self, identity: Identity, node: int) -> None:
        """Choose, set and store; the device takes it with its next communication reset.

        Raises ``BusTimeout`` when no such device answers, ``DeviceError`` when it refuses.
        """
        self.release()
        parts = enumerate(identity, start=SELECT_FIRST)
        chosen = [request(command, _WORD.pack(value)) for command, value in parts]
        try:
            self._ask(chosen, SELECTED, "select")
            self._confirm(request(SET_NODE, bytes((node,))), SET_NODE, f"node id {node}")
            self._confirm(request(STORE), STORE, "store")
        finally:
            self.release()

    def release(self) -> None:
        """Let every device wait again."""
        self._link.tell([request(SWITCH_GLOBAL, bytes((WAITING,)))])

    def _confirm(self, frame: CanFrame, command: int, what: str) -> None:
        error = self._ask([frame], command, what).data[1]
        if error:
            raise DeviceError(f"the device refuses {what} (LSS error {error})")

    def _ask(self, frames: list[CanFrame], command: int, what: str) -> CanFrame:
        def take(frame: CanFrame) -> CanFrame | None:
            fits = frame.can_id == SLAVE_ID and len(frame.data) == 8
            return frame if fits and frame.data[0] == command else None

        return self._link.ask(frames, take, f"LSS ({what})", attempts=1)
