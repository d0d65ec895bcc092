"""python-can interface ``oatcan``: ``can.Bus(interface="oatcan", channel="demo")``."""

from __future__ import annotations

import errno
import time
from collections import deque
from typing import Any

import can

from firmware_bridge.can_bus.bit_time import BitRates
from firmware_bridge.can_bus.client import (
    BusClient,
    BusOffError,
    ControllerSettings,
    News,
    QueueFullError,
)
from firmware_bridge.can_bus.error_state import PASSIVE_LIMIT
from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.node import EventKind
from firmware_bridge.can_bus.socketcan_errors import error_frame
from firmware_bridge.can_bus.wakeup import Wakeup
from firmware_bridge.errors import BridgeError

NS_PER_S = 1_000_000_000
FOREVER_NS = 1 << 62


class OatCanBus(can.BusABC):
    """A controller on a simulated bus that all processes of this user share.

    ``bitrate`` and ``data_bitrate`` [bit/s] must be those of the bus, which the first user sets.
    Without ``fd`` the controller takes CAN FD frames for errors, as an old one does. At most
    ``tx_queue_length`` frames wait for the bus: a further ``send`` waits for its timeout and raises
    ``CanOperationError`` with ENOBUFS. State changes arrive as error frames with SocketCAN's codes,
    every single error too with ``report_errors``.
    """

    def __init__(
        self,
        channel: str = "oatcan",
        bitrate: int = 1_000_000,
        data_bitrate: int = 5_000_000,
        fd: bool = True,
        listen_only: bool = False,
        receive_own_messages: bool = False,
        tx_queue_length: int = 10,
        report_errors: bool = False,
        can_filters: Any = None,
        **_: Any,
    ) -> None:
        settings = ControllerSettings(
            BitRates(int(bitrate), int(data_bitrate)),
            bool(fd),
            bool(listen_only),
            bool(report_errors),
            int(tx_queue_length),
        )
        self.client = BusClient(str(channel), settings)
        self.receive_own_messages = bool(receive_own_messages)
        self._sent: deque[can.Message] = deque()
        self._received: deque[can.Message] = deque()
        self._wakeup = Wakeup()
        self._epoch_s = time.clock_gettime(time.CLOCK_REALTIME) - time.monotonic()
        self._can_protocol = can.CanProtocol.CAN_FD if fd else can.CanProtocol.CAN_20
        self.channel_info = f"oatcan channel {channel}"
        try:
            self.client.open()
        except BridgeError as error:
            self._is_shutdown = True
            raise can.CanInitializationError(str(error)) from error
        super().__init__(channel, can_filters)

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        """Queue a message; raises ``CanOperationError`` (ENOBUFS, ENETDOWN) as SocketCAN would."""
        deadline_ns = time.monotonic_ns() + round((timeout or 0.0) * NS_PER_S)
        self._collect(time.monotonic_ns())
        while self.client.waiting >= self.client.settings.queue_length:
            if not self._collect(deadline_ns):
                break
        try:
            self.client.send(_frame(msg))
        except ValueError as error:
            raise can.CanOperationError(str(error), errno.EINVAL) from error
        except QueueFullError as error:
            raise can.CanOperationError(str(error), errno.ENOBUFS) from error
        except BusOffError as error:
            raise can.CanOperationError(str(error), errno.ENETDOWN) from error
        except BridgeError as error:
            raise can.CanOperationError(str(error), errno.ENODEV) from error
        if self.receive_own_messages:
            self._sent.append(msg)
        self._wakeup.show(bool(self._received))

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        wait_ns = FOREVER_NS if timeout is None else round(timeout * NS_PER_S)
        deadline_ns = time.monotonic_ns() + wait_ns
        while not self._received:
            if not self._collect(deadline_ns):
                return None, False
        message = self._received.popleft()
        self._wakeup.show(bool(self._received))
        return message, False

    def _collect(self, deadline_ns: int) -> bool:
        """Take in one frame or event by the deadline, and all that is there already."""
        taken = False
        try:
            while (item := self.client.receive(0 if taken else deadline_ns)) is not None:
                taken = True
                self._take(item)
        except BridgeError as error:
            raise can.CanOperationError(str(error), errno.ENODEV) from error
        return taken

    def _take(self, item: CanFrame | News) -> None:
        if isinstance(item, CanFrame):
            self._received.append(self._message(item))
            return
        if item.kind is EventKind.SENT:
            if self._sent:
                own = self._sent.popleft()
                own.timestamp = self._timestamp(item.stamp_ns)
                own.is_rx = False
                self._received.append(own)
            return
        if item.kind is EventKind.PURGED:
            if self._sent:
                self._sent.pop()
            return
        if (code := error_frame(item, self.client.bus_off)) is not None:
            self._received.append(
                can.Message(
                    timestamp=self._timestamp(item.stamp_ns),
                    arbitration_id=code[0],
                    is_extended_id=False,
                    is_error_frame=True,
                    data=code[1],
                    check=False,
                )
            )

    def _timestamp(self, stamp_ns: int) -> float:
        return stamp_ns / NS_PER_S + self._epoch_s

    def _message(self, frame: CanFrame) -> can.Message:
        return can.Message(
            timestamp=self._timestamp(frame.stamp_ns),
            arbitration_id=frame.can_id,
            is_extended_id=frame.extended,
            is_remote_frame=frame.remote,
            is_fd=frame.fd,
            bitrate_switch=frame.switch_rate,
            dlc=len(frame.data),
            data=None if frame.remote else frame.data,
            channel=self.client.channel,
        )

    @property
    def state(self) -> can.BusState:
        """Error-active, error-passive, or ERROR for bus-off."""
        if self.client.bus_off:
            return can.BusState.ERROR
        worst = max(self.client.transmit_errors, self.client.receive_errors)
        return can.BusState.PASSIVE if worst > PASSIVE_LIMIT else can.BusState.ACTIVE

    @state.setter
    def state(self, new_state: can.BusState) -> None:
        raise NotImplementedError("the bus decides about error states; use restart")

    def restart(self) -> None:
        """Come back from bus-off once the bus was quiet for 128 times 11 bits."""
        self.client.restart()

    def inject(self, **faults: int | None) -> None:
        """Give the bus faults by name (see ``firmware_bridge.can_bus.faults.Faults``)."""
        self.client.inject(**faults)

    def flush_tx_buffer(self) -> None:
        """Throw away the messages that wait for the bus."""
        self.client.purge()

    def fileno(self) -> int:
        """Descriptor that is readable whenever ``recv`` may have a message."""
        return self._wakeup.fileno(self.client.fileno(), bool(self._received))

    def shutdown(self) -> None:
        """Leave the bus."""
        super().shutdown()
        self.client.close()
        self._wakeup.close()


def _frame(msg: can.Message) -> CanFrame:
    return CanFrame(
        msg.arbitration_id,
        bytes(msg.dlc) if msg.is_remote_frame else bytes(msg.data),
        msg.is_extended_id,
        msg.is_remote_frame,
        msg.is_fd,
        msg.bitrate_switch,
    )
