"""``canopen``'s SDO client over our transport, in one thread."""

from __future__ import annotations

import queue
import time
from typing import Any

import canopen

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.cia402.dictionary import object_dictionary
from firmware_bridge.errors import BusTimeout, DeviceError
from firmware_bridge.transports.can_port import CanTransport

ATTEMPTS = 3
NS_PER_S = 1_000_000_000


class SdoNetwork:
    """Reads and writes objects of drives; ``canopen`` speaks, this pumps the transport for it."""

    def __init__(self, transport: CanTransport, nodes: tuple[int, ...]) -> None:
        self._network = canopen.Network(_Sender(transport))  # type: ignore[arg-type]
        self._clients: dict[int, Any] = {}
        for node in nodes:
            remote = canopen.RemoteNode(node, object_dictionary(node))
            self._network.add_node(remote)
            remote.sdo.responses = _Pump(transport, self._network)
            self._clients[node] = remote.sdo

    def read(self, node: int, index: int, sub: int = 0) -> int:
        """An object's value; raises ``BusTimeout`` or ``DeviceError`` naming drive and object."""
        value: int = self._retry(node, index, sub, lambda entry: entry.raw)
        return value

    def write(self, node: int, index: int, value: int, sub: int = 0) -> None:
        """Set an object; the drive confirms it."""
        self._retry(node, index, sub, lambda entry: setattr(entry, "raw", value))

    def _retry(self, node: int, index: int, sub: int, action: Any) -> Any:
        entry = self._clients[node][index]
        entry = entry if self._is_variable(node, index) else entry[sub]
        what = f"drive {node} (object {index:04x}h sub {sub})"
        for _ in range(ATTEMPTS):
            try:
                return action(entry)
            except canopen.SdoCommunicationError:
                continue
            except canopen.SdoAbortedError as error:
                raise DeviceError(f"{what} refuses: {error}") from error
        raise BusTimeout(f"{what}: no answer")

    def _is_variable(self, node: int, index: int) -> bool:
        variable = canopen.objectdictionary.ODVariable
        return isinstance(self._clients[node].od[index], variable)


class _Sender:
    """The one method of a python-can bus that ``canopen`` needs for sending."""

    def __init__(self, transport: CanTransport) -> None:
        self._transport = transport

    def send(self, message: Any) -> None:
        self._transport.send([CanFrame(message.arbitration_id, bytes(message.data))])


class _Pump:
    """Stands where ``canopen`` expects the queue that another thread fills."""

    def __init__(self, transport: CanTransport, network: canopen.Network) -> None:
        self._transport = transport
        self._network = network
        self._found: list[bytes] = []

    def put(self, response: bytes) -> None:
        """A response has come (called from within ``get``)."""
        self._found.append(response)

    def empty(self) -> bool:
        """Forget old responses; then there is none."""
        self._transport.flush()
        self._found.clear()
        return True

    def get(self, block: bool = True, timeout: float = 0.0) -> bytes:
        """The next response; raises ``queue.Empty`` after ``timeout`` [s]."""
        del block
        deadline_ns = time.monotonic_ns() + round(timeout * NS_PER_S)
        while not self._found:
            frame = self._transport.receive(deadline_ns)
            if frame is None:
                raise queue.Empty
            self._network.notify(frame.can_id, bytearray(frame.data), 0.0)
        return self._found.pop(0)
