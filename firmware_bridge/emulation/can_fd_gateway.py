"""An emulated controller on CAN-FD: what its CAN driver does, in front of its serial port.

The core knows payloads; one frame carries each (docs/oatlink.md, section 3).
"""

from __future__ import annotations

import os
import select
import time

from firmware_bridge.can_bus.client import BusClient, BusOffError, QueueFullError
from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.errors import PortError
from firmware_bridge.oatlink import can_fd, wire
from firmware_bridge.oatlink.can_fd import FROM_CONTROLLER_ID, FROM_HOST_ID
from firmware_bridge.oatlink.cobs import Deframer

READ_SIZE = 4096
NS_PER_S = 1_000_000_000
NO_TELEMETRY = 0  # joints: hosts send none


class CanFdGateway:
    """Carries payloads between ``client`` (open already) and the controller's tty.

    ``lost`` counts payloads that neither side took: too long for a frame, or a full queue.
    """

    def __init__(self, tty_path: str, client: BusClient, node: int, with_tag: bool) -> None:
        can_fd.check_node(node)
        self.client = client
        self.lost = 0
        self._host_id, self._controller_id = FROM_HOST_ID + node, FROM_CONTROLLER_ID + node
        self._with_tag = with_tag
        self._deframer = Deframer(wire.MAX_PAYLOAD)
        try:
            self._tty = os.open(tty_path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise PortError(f"port {tty_path}: {error.strerror}") from error

    def run_until(self, deadline_ns: int) -> None:
        """Run until the monotonic time ``deadline_ns``."""
        while (left_ns := deadline_ns - time.monotonic_ns()) > 0:
            ends = (self.client.fileno(), self._tty)
            ready, _, _ = select.select(ends, (), (), left_ns / NS_PER_S)
            if ready:
                self.serve()

    def serve(self) -> None:
        """Carry over what waits on either side."""
        while (item := self.client.receive(0)) is not None:
            if isinstance(item, CanFrame):
                self._to_controller(item)
        try:
            data = os.read(self._tty, READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            raise PortError("the controller is gone") from error
        for payload in self._deframer.feed(data):
            self._to_host(payload)

    def _to_controller(self, frame: CanFrame) -> None:
        if frame.can_id != self._host_id or frame.extended or not frame.fd:
            return
        payload = can_fd.from_can_fd(frame.data, NO_TELEMETRY, self._with_tag)
        if payload is None:
            return
        data = wire.frame_bytes(payload)
        try:
            written = os.write(self._tty, data)
        except BlockingIOError:
            written = 0
        self.lost += written != len(data)

    def _to_host(self, payload: bytes) -> None:
        try:
            data = can_fd.to_can_fd(payload)
            self.client.send(CanFrame(self._controller_id, data, fd=True, switch_rate=True))
        except (ValueError, QueueFullError, BusOffError):
            self.lost += 1

    def close(self) -> None:
        """Leave the bus and the tty; closing twice does nothing."""
        self.client.close()
        if self._tty >= 0:
            os.close(self._tty)
            self._tty = -1
