"""``oat-edge bus scan``: who is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.commands.bus_ports import (
    Bitrate,
    DataBitrate,
    Ids,
    Json,
    Line,
    Port,
    Protocol,
    chosen_ids,
    find_protocol,
    make_port,
    opened,
)
from edge.errors import RunError, UsageError

if TYPE_CHECKING:
    from firmware_bridge.devices import DeviceTools, Found
    from firmware_bridge.protocols.toolboxes import Toolbox


def scan(
    protocol: Protocol,
    port: Port,
    ids: Ids = None,
    bitrate: Bitrate = 1_000_000,
    data_bitrate: DataBitrate = 5_000_000,
    key_file: Annotated[
        Path | None, typer.Option(help="oatlink: the key of the controllers to look for.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the devices that answer; asks only, moves and changes nothing."""
    line = Line(protocol, port, bitrate, data_bitrate)
    found, asked = find_devices(line, ids, key_file)
    if as_json:
        devices = [asdict(device) for device in found]
        print(json.dumps({"protocol": protocol, "port": port, "devices": devices}))
    else:
        _print_table(found, f"{protocol} on {port}, ids {asked}")
    if not found:
        raise RunError(f"no device answers on {port} ({protocol}, ids {asked}, {bitrate} bit/s)")


def find_devices(
    line: Line, ids: str | None, key_file: Path | None = None
) -> tuple[list[Found], str]:
    """The devices that answer, and which ids were asked. Raises UsageError for a key that is none,
    or that the protocol does not know.
    """
    spec, toolbox = find_protocol(line.protocol)
    make_tools = toolbox.make_tools if key_file is None else _keyed(toolbox, line, key_file)
    with opened(make_port(spec, line)) as transport:
        tools = make_tools(transport)
        wanted = chosen_ids(ids, tools.ids)
        return tools.scan(wanted), ids or f"{tools.ids.start}-{tools.ids.stop - 1}"


def _keyed(toolbox: Toolbox, line: Line, key_file: Path) -> Callable[[Any], DeviceTools]:
    from firmware_bridge.oatlink.key_file import read_key

    make_tools = toolbox.make_keyed_tools
    if make_tools is None:
        raise UsageError(f"--key-file is {str(key_file)!r}, but {line.protocol} has no keys")
    try:
        key = read_key(key_file)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return lambda transport: make_tools(transport, key)


def _print_table(found: list[Found], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    table.add_column("id", justify="right")
    for column in ("model", "firmware", "state"):
        table.add_column(column, overflow="fold")
    for device in found:
        table.add_row(str(device.device_id), device.model, device.firmware, device.state)
    if found:
        Console().print(table)
