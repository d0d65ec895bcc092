"""``oat-edge bus set-id``: another id for one device."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from edge.commands.bus_ports import (
    Bitrate,
    DataBitrate,
    Json,
    Line,
    Port,
    Protocol,
    find_protocol,
    make_port,
    opened,
)
from edge.errors import RunError, UsageError

if TYPE_CHECKING:
    from firmware_bridge.devices import DeviceTools, Found


def set_id(
    protocol: Protocol,
    port: Port,
    old: Annotated[int, typer.Argument(min=0, help="The device's id now.")],
    new: Annotated[int, typer.Argument(min=0, help="The id that it is to have.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    bitrate: Bitrate = 1_000_000,
    data_bitrate: DataBitrate = 5_000_000,
    as_json: Json = False,
) -> None:
    """Give one device another id, kept without power; takes its torque off and asks before."""
    if not yes and not sys.stdin.isatty():
        raise UsageError("set-id asks before it writes: use it on a terminal, or say --yes")
    line = Line(protocol, port, bitrate, data_bitrate)
    spec, toolbox = find_protocol(protocol)
    with opened(make_port(spec, line)) as transport:
        tools = toolbox.make_tools(transport)
        device = _checked(tools, line, old, new)
        if not yes:
            _ask(device, new)
        tools.set_id(old, new)
        _verify(tools, old, new)
    if as_json:
        done = {"protocol": protocol, "port": port, "old": old, "new": new, "model": device.model}
        print(json.dumps(done | {"verified": True}))
    else:
        print(f"{device.model} {old} is {new} now, and keeps it without power")


def _checked(tools: DeviceTools, line: Line, old: int, new: int) -> Found:
    """The device that is meant. Raises UsageError or RunError for what cannot be done."""
    if tools.fixed_id:
        raise UsageError(f"{line.protocol}: {tools.fixed_id}")
    for name, value in (("OLD", old), ("NEW", new)):
        if value not in tools.ids:
            allowed = f"{tools.ids.start} to {tools.ids.stop - 1}"
            raise UsageError(f"{name} is {value}, allowed in {line.protocol} are {allowed}")
    if old == new:
        raise UsageError(f"NEW is {new}, which the device has already")
    found = {device.device_id: device for device in tools.scan(sorted((old, new)))}
    if new in found:
        raise RunError(f"id {new} is in use on {line.address}: {found[new].model}")
    if old not in found:
        raise RunError(f"no device answers as {old} on {line.address}")
    return found[old]


def _ask(device: Found, new: int) -> None:
    """Raises RunError unless the answer is yes."""
    print(f"{device.model}, id {device.device_id}, firmware {device.firmware}: {device.state}")
    print("Its torque goes off: an arm without brakes falls.")
    if not typer.confirm(f"Make its id {new}?"):
        raise RunError("nothing was changed")


def _verify(tools: DeviceTools, old: int, new: int) -> None:
    answering = [device.device_id for device in tools.scan(sorted((old, new)))]
    if answering != [new]:
        now = ", ".join(map(str, answering)) or "none"
        raise RunError(f"id {new} was written, and of {old} and {new} there answer: {now}")
