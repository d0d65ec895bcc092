"""Names for the frames of moteus servos."""

from __future__ import annotations

import math
from typing import Any

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.devices import DEVICE, HOST, Decoded
from firmware_bridge.moteus import codec, console
from firmware_bridge.moteus.codec import READ, WRITE, Register, Subframe

_TUNNEL = {
    console.CLIENT_DATA: "console_write",
    console.SERVER_DATA: "console_answer",
    console.CLIENT_POLL: "console_poll",
}
_DESTINATION = 0x7F


class MoteusDecoder:
    """``FrameDecoder``. Source 0 is the host; servos answer it from ``id << 8``."""

    def decode(self, frame: CanFrame) -> Decoded | None:
        """Registers written, asked for and answered; other uses of CAN FD have other ids."""
        source, destination = frame.can_id >> 8 & _DESTINATION, frame.can_id & _DESTINATION
        if frame.remote or frame.can_id >> 16 or bool(source) == bool(destination):
            return None
        sender, servo_id = (DEVICE, source) if source else (HOST, destination)
        if frame.data and frame.data[0] in _TUNNEL:
            return Decoded(sender, servo_id, *_tunnel(frame.data), frame.data)
        found = list(codec.parse(frame.data))
        return Decoded(sender, servo_id, _name(sender, found), _fields(found), frame.data)


def _tunnel(data: bytes) -> tuple[str, dict[str, Any]]:
    name = _TUNNEL[data[0]]
    if data[0] == console.CLIENT_POLL or len(data) < console.HEAD:
        return name, {}
    text = data[console.HEAD : console.HEAD + data[2]]
    return name, {"text": text.decode(errors="replace").strip()}


def _name(sender: str, found: list[Subframe]) -> str:
    if sender == DEVICE:
        return "answer"
    return "command" if any(part.kind == WRITE for part in found) else "query"


def _fields(found: list[Subframe]) -> dict[str, Any]:
    """Values by register; those that are asked for together, by name alone."""
    fields: dict[str, Any] = {
        _register(part.register): None if math.isnan(part.value) else part.value
        for part in found
        if part.kind != READ
    }
    asked = [_register(part.register) for part in found if part.kind == READ]
    return fields | ({"asks": asked} if asked else {})


def _register(number: int) -> str:
    known = number in Register.__members__.values()
    return Register(number).name.lower() if known else f"{number:#05x}"
