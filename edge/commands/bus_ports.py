"""The port of a bus tool: which protocol, where, at what rate."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.errors import UsageError

if TYPE_CHECKING:
    from firmware_bridge.protocols import ProtocolSpec
    from firmware_bridge.protocols.toolboxes import Toolbox

Protocol = Annotated[str, typer.Argument(help="`oat-edge bus protocols` lists them.")]
Port = Annotated[
    str, typer.Argument(help="A tty, or for CAN interface:channel, as in socketcan:can0.")
]
Bitrate = Annotated[int, typer.Option(min=9_600, help="Baud, or CAN's (nominal) bit rate.")]
DataBitrate = Annotated[int, typer.Option(min=9_600, help="Bit rate of CAN FD's data.")]
Ids = Annotated[str | None, typer.Option(help="Only these, as in 1-7,20.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


SIMULATED = "oatcan:"  # there a node without CAN FD destroys FD frames, as old controllers do


@dataclass(frozen=True, slots=True)
class Line:
    """Where a tool works."""

    protocol: str
    address: str
    bitrate: int = 1_000_000
    data_bitrate: int = 5_000_000


def find_protocol(name: str) -> tuple[ProtocolSpec, Toolbox]:
    """A protocol and its tools. Raises UsageError naming it and those that are known."""
    from firmware_bridge.protocols import load_protocols

    known = load_protocols()
    if name not in known:
        raise UsageError(f"protocol {name!r} is not known (known: {', '.join(known)})")
    toolbox = known[name].toolbox
    if toolbox is None:
        able = [spec.name for spec in known.values() if spec.toolbox is not None]
        raise UsageError(f"protocol {name} brings no tools (those that do: {', '.join(able)})")
    return known[name], toolbox()


def make_port(spec: ProtocolSpec, line: Line, watch: bool = False, silent: bool = False) -> Any:
    """The protocol's port, not opened yet. Raises UsageError for an address of another kind.

    ``watch``: for who only listens, and has to understand whatever others say. ``silent``: on CAN,
    without acknowledging.
    """
    from firmware_bridge.transports.can_address import FORM, can_port, is_can_address
    from firmware_bridge.transports.serial_port import SerialPort

    if spec.is_can != is_can_address(line.address):
        form = FORM if spec.is_can else "a tty's path, as in /dev/ttyUSB0"
        raise UsageError(f"port {line.address!r}: {spec.name} wants {form}")
    if not spec.is_can:
        return SerialPort(line.address, line.bitrate)
    with_fd = spec.wire == "can-fd" or (watch and line.address.startswith(SIMULATED))
    return can_port(line.address, line.bitrate, line.data_bitrate if with_fd else None, silent)


@contextmanager
def opened(port: Any) -> Iterator[Any]:
    """An open port, given back at the end."""
    port.open()
    try:
        yield port
    finally:
        port.close()


def chosen_ids(text: str | None, allowed: range) -> list[int]:
    """Ids from numbers and ranges, by comma; all if left out. Raises UsageError."""
    if text is None:
        return list(allowed)
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or first not in allowed or last not in allowed:
            form = f"numbers and ranges of {allowed.start} to {allowed.stop - 1}, by comma"
            raise UsageError(f"--ids is {text!r}, allowed are {form}")
        found.update(range(first, last + 1))
    return sorted(found)
