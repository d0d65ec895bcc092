"""Asking single CANopen drives: who is there, how quick, and another node id."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.link import CanLink
from firmware_bridge.cia402.lss import Identity, LssMaster
from firmware_bridge.cia402.objects import (
    CSP_SUPPORTED,
    HEARTBEAT_BASE,
    MAX_NODE,
    NMT_ID,
    SDO_ANSWER_BASE,
    SDO_QUESTION_BASE,
    Controlword,
    DriveState,
    NmtCommand,
    Object,
    drive_state,
)
from firmware_bridge.devices import Found
from firmware_bridge.errors import BridgeError, DeviceError, PortError
from firmware_bridge.transports.can_port import CanTransport

if TYPE_CHECKING:
    from firmware_bridge.cia402.network import SdoNetwork

LISTEN_NS = 150_000_000
BOOT_NS = 3_000_000_000
_READ = 0x40  # SDO: initiate upload
_SDO = struct.Struct("<BHB4x")


class Cia402Tools:
    """``DeviceTools`` over SDO; the id by LSS, which not every drive has."""

    ids = range(1, MAX_NODE + 1)
    fixed_id = ""

    def __init__(self, transport: CanTransport, listen_ns: int = LISTEN_NS) -> None:
        self._transport = transport
        self._link = CanLink(transport)
        self._listen_ns = listen_ns

    def scan(self, ids: Sequence[int]) -> list[Found]:
        """Whoever answers a question for its device type, be it by refusing."""
        nodes: set[int] = set()

        def note(frame: CanFrame) -> None:
            node = frame.can_id - SDO_ANSWER_BASE
            if node in ids and len(frame.data) == 8 and not frame.extended:
                nodes.add(node)

        self._link.forget()
        for node in ids:
            self._link.tell([_question(node)])
            self._link.listen(note, 1)
        self._link.listen(note, self._listen_ns)
        return [self._describe(node) for node in sorted(nodes)]

    def _describe(self, node: int) -> Found:
        try:
            identity = self._identity(node)
            modes = self._read(node, Object.SUPPORTED_DRIVE_MODES)
            state = drive_state(self._read(node, Object.STATUSWORD))
        except BridgeError as error:
            return Found(node, "CANopen", "", f"no CiA 402 drive: {error}")
        label = "torque on" if state is DriveState.OPERATION_ENABLED else state.label
        label += "" if modes & CSP_SUPPORTED else ", no cyclic synchronous position"
        model = f"vendor {identity.vendor:#x}, product {identity.product:#x}"
        return Found(node, model, f"{identity.revision:#x}", label)

    def _identity(self, node: int) -> Identity:
        return Identity(*(self._read(node, Object.IDENTITY, sub) for sub in range(1, 5)))

    def _read(self, node: int, index: int, sub: int = 0) -> int:
        return self._network(node).read(node, index, sub)

    def _network(self, node: int) -> SdoNetwork:
        try:
            from firmware_bridge.cia402.network import SdoNetwork
        except ModuleNotFoundError as error:
            raise PortError("CANopen needs canopen: pip install 'oat-edge[can]'") from error
        return SdoNetwork(self._transport, (node,))

    def ping(self, device_id: int) -> None:
        """The device type, by SDO."""
        answer = _from(SDO_ANSWER_BASE + device_id)
        self._link.ask([_question(device_id)], answer, f"drive {device_id}", attempts=1)

    def set_id(self, device_id: int, new_id: int) -> None:
        """Voltage off, LSS by identity, then a reset of communication; waits for its boot-up."""
        network = self._network(device_id)
        network.write(device_id, Object.CONTROLWORD, Controlword.DISABLE_VOLTAGE)
        LssMaster(self._link).set_node(self._identity(device_id), new_id)
        reset = CanFrame(NMT_ID, bytes((NmtCommand.RESET_COMMUNICATION, device_id)))
        self._link.tell([reset])
        if self._link.listen(_from(HEARTBEAT_BASE + new_id), BOOT_NS) is None:
            raise DeviceError(f"drive {device_id} did not start as {new_id} after a reset")


def _question(node: int) -> CanFrame:
    return CanFrame(SDO_QUESTION_BASE + node, _SDO.pack(_READ, Object.DEVICE_TYPE, 0))


def _from(can_id: int) -> Callable[[CanFrame], CanFrame | None]:
    """Takes data frames of one id."""

    def take(frame: CanFrame) -> CanFrame | None:
        return frame if frame.can_id == can_id and not frame.remote else None

    return take
