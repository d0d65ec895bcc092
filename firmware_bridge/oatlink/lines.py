"""Ways for oatlink payloads to reach a controller (docs/oatlink.md, section 3)."""

from __future__ import annotations

from typing import Protocol

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.oatlink import can_fd, wire
from firmware_bridge.oatlink.can_fd import FROM_CONTROLLER_ID, FROM_HOST_ID
from firmware_bridge.oatlink.cobs import Deframer
from firmware_bridge.oatlink.config import OatlinkConfig
from firmware_bridge.transports import Transport
from firmware_bridge.transports.can_port import CanTransport


class PayloadLine(Protocol):
    """Whole payloads to and from one controller. All but ``close`` raise ``PortError``."""

    def open(self) -> None:
        """Take the port."""

    def send(self, payload: bytes) -> None:
        """Hand one payload over; never blocks for long."""

    def receive(self, deadline_ns: int) -> list[bytes]:
        """Payloads that have come, at the latest at the monotonic deadline; perhaps none."""

    def flush(self) -> None:
        """Throw away what was received and not yet taken."""

    def close(self) -> None:
        """Give the port back; closing a closed line does nothing."""


class SerialLine:
    """COBS frames in a byte stream."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._deframer = Deframer(wire.MAX_PAYLOAD)

    def open(self) -> None:
        """Take the port."""
        self._transport.open()

    def send(self, payload: bytes) -> None:
        """Frame and write."""
        self._transport.write(wire.frame_bytes(payload))

    def receive(self, deadline_ns: int) -> list[bytes]:
        """Read what there is."""
        return self._deframer.feed(self._transport.read(1, deadline_ns))

    def flush(self) -> None:
        """Forget an unfinished frame, too."""
        self._deframer.reset()
        self._transport.flush_input()

    def close(self) -> None:
        """Give the port back."""
        self._transport.close()


class CanFdLine:
    """One payload in one frame with bit-rate switch, to the controller of a ``node``.

    ``joints``: how many its TELEMETRY has. Raises ``ValueError`` for a node that does not exist.
    """

    def __init__(
        self, port: CanTransport, joints: int, with_tag: bool = False, node: int = 0
    ) -> None:
        can_fd.check_node(node)
        self._port = port
        self._host_id = FROM_HOST_ID + node
        self._controller_id = FROM_CONTROLLER_ID + node
        self._joints, self._with_tag = joints, with_tag

    @classmethod
    def of(cls, port: CanTransport, config: OatlinkConfig, node: int = 0) -> CanFdLine:
        """The line for a configuration; ``ValueError`` also if its messages do not fit a frame."""
        joints, with_tag = len(config.joints), bool(config.key)
        can_fd.check_room(joints, config.knots, with_tag)
        return cls(port, joints, with_tag, node)

    def open(self) -> None:
        """Take the port."""
        self._port.open()

    def send(self, payload: bytes) -> None:
        """Pad and send."""
        data = can_fd.to_can_fd(payload)
        self._port.send([CanFrame(self._host_id, data, fd=True, switch_rate=True)])

    def receive(self, deadline_ns: int) -> list[bytes]:
        """Wait for one frame, then take those that wait already."""
        payloads: list[bytes] = []
        while (frame := self._port.receive(deadline_ns)) is not None:
            deadline_ns = 0
            if frame.can_id != self._controller_id or frame.extended or not frame.fd:
                continue
            payload = can_fd.from_can_fd(frame.data, self._joints, self._with_tag)
            if payload is not None:
                payloads.append(payload)
        return payloads

    def flush(self) -> None:
        """Throw away the frames that wait."""
        self._port.flush()

    def close(self) -> None:
        """Give the port back."""
        self._port.close()
