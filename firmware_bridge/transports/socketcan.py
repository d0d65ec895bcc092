"""What only Linux' own CAN sockets need, beside what python-can does for every interface."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Any

from firmware_bridge.errors import PortError

SO_MEMINFO = 55  # asm-generic/socket.h: nine numbers, linux/sock_diag.h
_MEMINFO = struct.Struct("=9I")
_WRITTEN_AND_UNSENT = 2  # SK_MEMINFO_WMEM_ALLOC, in bytes


def raise_unless_there(interface: str, channel: str) -> None:
    """Raise ``PortError`` for an interface that is not there.

    python-can would leave a socket unclosed that it could not bind.
    """
    if interface != "socketcan":
        return
    try:
        socket.if_nametoindex(channel)
    except OSError as error:
        raise PortError(f"port {interface}:{channel} does not exist") from error


class Unsent:
    """Frames that the kernel still holds of a socket that was closed.

    They outlive the socket and go out when the wire is whole again: motion of another time. Only
    who may configure the network can throw them away, by taking the interface down.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def keep(self, bus: Any) -> None:
        """Remember what a python-can bus leaves, before it is shut down."""
        can_socket = getattr(bus, "socket", None)
        if not isinstance(can_socket, socket.socket) or can_socket.family != socket.AF_CAN:
            return
        with contextlib.suppress(OSError):
            if _unsent_bytes(can_socket):
                self._socket = can_socket.dup()

    def raise_if_any(self, name: str) -> None:
        """Raise ``PortError`` until what was kept has run out or was thrown away."""
        if self._socket is None:
            return
        if _unsent_bytes(self._socket):
            raise PortError(
                f"port {name} still holds frames from before the fault: "
                "mend the wire, or take the interface down and up"
            )
        self._socket.close()
        self._socket = None


def _unsent_bytes(can_socket: socket.socket) -> int:
    info = can_socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size)
    return int(_MEMINFO.unpack(info)[_WRITTEN_AND_UNSENT])
