"""A CAN bus through any python-can interface: SocketCAN, slcan, adapters, virtual, oatcan."""

from __future__ import annotations

import contextlib
import errno
import select
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.errors import PortError
from firmware_bridge.transports.socketcan import Unsent, raise_unless_there

if TYPE_CHECKING:
    import can

NS_PER_S = 1_000_000_000
ACKNOWLEDGING = "slcan"
SEND_TIMEOUT_S = 0.02  # an idle bus takes a full queue of classic frames in 2 ms
BUS_OFF_FLAG = 0x40  # CAN_ERR_BUSOFF, in an error frame's id
RESTARTED_FLAG = 0x100

_FAULTS = {
    errno.ENOBUFS: "takes no more frames: nobody acknowledges, or the bus is overloaded",
    errno.ENETDOWN: "is down (bus-off or the interface was taken down)",
    errno.ENODEV: "is gone: adapter unplugged",
    errno.ENXIO: "is gone: adapter unplugged",
}
_LOST = (errno.ENETDOWN, errno.ENODEV, errno.ENXIO)


class CanTransport(Protocol):
    """Frames to and from one CAN bus. Every method but ``close`` raises ``PortError``."""

    def open(self) -> None:
        """Take the port."""

    def send(self, frames: Sequence[CanFrame]) -> None:
        """Queue all frames in order; those that were queued before an error are thrown away."""

    def receive(self, deadline_ns: int) -> CanFrame | None:
        """The next frame, or None at the monotonic deadline."""

    def flush(self) -> None:
        """Throw away what was received and not yet read."""

    def close(self) -> None:
        """Give the port back; closing a closed port does nothing."""


class PythonCanPort:
    """``CanTransport`` over ``can.Bus(interface=…, channel=…)``.

    ``options`` go to the interface as they are. Bus-off is noticed by its error frame: from then on
    everything raises ``PortError`` until the interface reports its restart or is opened again. The
    same holds once reading found it down or gone: SocketCAN says that once and is silent then.
    Where frames were left in the kernel by a fault, opening raises ``PortError`` until they have
    run out or were purged: nothing that is sent afterwards can follow old motion.
    """

    def __init__(
        self,
        interface: str,
        channel: str,
        bitrate: int = 1_000_000,
        data_bitrate: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.name = f"{interface}:{channel}"
        self._arguments: dict[str, Any] = {
            "interface": interface,
            "channel": channel,
            "bitrate": bitrate,
            "fd": data_bitrate is not None,
            **(options or {}),
        }
        if data_bitrate is not None:
            self._arguments["data_bitrate"] = data_bitrate
        self._bus: can.BusABC | None = None
        self._message: Any = None
        self._can_error: type[Exception] = Exception
        self._bus_off = False
        self._lost = ""  # why reading failed for good
        self._unsent = Unsent()

    def open(self) -> None:
        """Open the interface; raises ``PortError`` that says why not."""
        if self._bus is not None:
            raise PortError(f"port {self.name} is already open")
        self._unsent.raise_if_any(self.name)
        raise_unless_there(self._arguments["interface"], self._arguments["channel"])
        try:
            import can
        except ModuleNotFoundError as error:
            raise PortError("CAN needs python-can: pip install 'oat-edge[can]'") from error
        try:
            self._bus = can.Bus(**self._arguments)
        except (can.CanError, OSError, ValueError, TypeError) as error:
            raise PortError(f"port {self.name} cannot be opened: {error}") from error
        self._message, self._can_error, self._bus_off = can.Message, can.CanError, False
        self._lost = ""

    def send(self, frames: Sequence[CanFrame]) -> None:
        """Queue frames; after a fault nothing stale stays in the queue of the interface."""
        bus = self._healthy_bus()
        try:
            for frame in frames:
                bus.send(self._as_message(frame), SEND_TIMEOUT_S)
        except (self._can_error, OSError) as error:
            self._purge()
            raise self._fault(error, "cannot send") from error

    def _fault(self, error: Exception, otherwise: str) -> PortError:
        known = _FAULTS.get(_code(error))
        return PortError(f"port {self.name} {known or f'{otherwise} ({error})'}")

    def _as_message(self, frame: CanFrame) -> can.Message:
        message: can.Message = self._message(
            arbitration_id=frame.can_id,
            is_extended_id=frame.extended,
            is_remote_frame=frame.remote,
            is_fd=frame.fd,
            bitrate_switch=frame.switch_rate,
            dlc=len(frame.data),
            data=None if frame.remote else frame.data,
        )
        return message

    def _purge(self) -> None:
        if self._bus is not None:
            with contextlib.suppress(NotImplementedError, self._can_error, OSError):
                self._bus.flush_tx_buffer()

    def receive(self, deadline_ns: int) -> CanFrame | None:
        """The next data or remote frame; error frames only change what this port knows."""
        bus = self._healthy_bus()
        while True:
            timeout_s = max(0, deadline_ns - time.monotonic_ns()) / NS_PER_S
            try:
                message = bus.recv(timeout_s)
            except (self._can_error, OSError, ValueError) as error:
                fault = self._fault(error, "is gone")
                self._lost = str(fault) if _code(error) in _LOST else ""
                raise fault from error
            if message is None and self._said_something(bus):
                continue
            if message is None:
                return None
            if not message.is_error_frame:
                return _as_frame(message)
            self._take_error(message.arbitration_id)

    def _said_something(self, bus: can.BusABC) -> bool:
        """Tell silence from the texts with which slcan adapters acknowledge frames, which
        python-can takes for silence; frames may stand behind them.
        """
        if self._arguments["interface"] != ACKNOWLEDGING:
            return False
        return bool(select.select((bus.fileno(),), (), (), 0)[0])

    def _take_error(self, flags: int) -> None:
        if flags & RESTARTED_FLAG:
            self._bus_off = False
        elif flags & BUS_OFF_FLAG:
            self._bus_off = True
            self._purge()
            self._healthy_bus()

    def fileno(self) -> int:
        """Descriptor that is readable when frames have come; raises ``PortError`` when closed.

        Raises ``NotImplementedError`` for an interface that has none.
        """
        return self._healthy_bus().fileno()

    def flush(self) -> None:
        """Read until nothing is left."""
        while self.receive(0) is not None:
            pass

    def close(self) -> None:
        """Close the interface if it is open."""
        bus, self._bus = self._bus, None
        if bus is not None:
            with contextlib.suppress(self._can_error, OSError):
                self._unsent.keep(bus)
                bus.shutdown()

    def _healthy_bus(self) -> can.BusABC:
        if self._bus is None:
            raise PortError(f"port {self.name} is not open")
        if self._lost:
            raise PortError(self._lost)
        if self._bus_off:
            raise PortError(f"port {self.name} is bus-off: check wiring and bit rate, then re-open")
        return self._bus


def _code(error: Exception) -> int:
    return getattr(error, "error_code", None) or getattr(error, "errno", None) or 0


def _as_frame(message: can.Message) -> CanFrame:
    return CanFrame(
        message.arbitration_id,
        bytes(message.dlc) if message.is_remote_frame else bytes(message.data),
        message.is_extended_id,
        message.is_remote_frame,
        message.is_fd,
        message.bitrate_switch,
        time.monotonic_ns(),
    )
