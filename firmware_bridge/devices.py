"""What the tools of a protocol promise: asking single devices, and naming what passes on a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from firmware_bridge.can_bus.frame import CanFrame

HOST, DEVICE = "host", "device"


@dataclass(frozen=True, slots=True)
class Found:
    """A device that answered; what it does not tell is an empty text.

    ``state`` says whether it holds its joint, or what is wrong with it.
    """

    device_id: int
    model: str = ""
    firmware: str = ""
    state: str = ""


class DeviceTools(Protocol):
    """Single devices on an open line. Only ``set_id`` changes anything, and nothing moves.

    ``ids`` are those that a device can have. ``fixed_id`` says why ``set_id`` cannot work in this
    protocol, and is empty where it can.
    """

    ids: range
    fixed_id: str

    def scan(self, ids: Sequence[int]) -> list[Found]:
        """Which of ``ids`` answer, in order. A silent bus is an empty list; raises ``PortError``.

        A fault of a device is part of its ``state``, not an error.
        """

    def ping(self, device_id: int) -> None:
        """One short question and its answer, not repeated; raises ``BusTimeout`` without one."""

    def set_id(self, device_id: int, new_id: int) -> None:
        """Torque off, then another id, kept without power; raises ``BridgeError``.

        The caller has seen that ``device_id`` is there and ``new_id`` is not.
        """


@dataclass(frozen=True, slots=True)
class Decoded:
    """One packet or frame with names. ``device_id`` None: it is for no one device.

    ``sender`` is ``HOST`` or ``DEVICE``; ``fields`` hold numbers, texts, and lists and dicts of
    them.
    """

    sender: str
    device_id: int | None
    name: str
    fields: dict[str, Any] = field(default_factory=dict)
    raw: bytes = b""


class StreamDecoder(Protocol):
    """Names what passes on a serial line; never raises, whatever the bytes.

    ``damaged`` counts packets with a bad check sum and bytes of no packet.
    """

    @property
    def damaged(self) -> int:
        """What could not be decoded."""

    def feed(self, data: bytes, sender: str | None) -> list[Decoded]:
        """Take the next bytes; ``sender`` is None where both directions share one wire."""


class FrameDecoder(Protocol):
    """Names what passes on a CAN bus; never raises, whatever the frame."""

    def decode(self, frame: CanFrame) -> Decoded | None:
        """A frame with names, or None for one that is not of this protocol."""


def by_register(found: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """What a sync write writes to devices: {register: {id: value}} where all get the same registers
    and {id: {register: value}} where not; ids as texts.
    """
    names = {tuple(values) for values in found.values()}
    if len(names) != 1:
        return {str(device_id): dict(values) for device_id, values in found.items()}
    return {
        name: {str(device_id): values[name] for device_id, values in found.items()}
        for name in names.pop()
    }
