"""``oat-edge bus scan``: who is there."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

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
from edge.errors import RunError

if TYPE_CHECKING:
    from firmware_bridge.devices import Found


def scan(
    protocol: Protocol,
    port: Port,
    ids: Ids = None,
    bitrate: Bitrate = 1_000_000,
    data_bitrate: DataBitrate = 5_000_000,
    as_json: Json = False,
) -> None:
    """List the devices that answer; asks only, moves and changes nothing."""
    line = Line(protocol, port, bitrate, data_bitrate)
    found, asked = find_devices(line, ids)
    if as_json:
        devices = [asdict(device) for device in found]
        print(json.dumps({"protocol": protocol, "port": port, "devices": devices}))
    else:
        _print_table(found, f"{protocol} on {port}, ids {asked}")
    if not found:
        raise RunError(f"no device answers on {port} ({protocol}, ids {asked}, {bitrate} bit/s)")


def find_devices(line: Line, ids: str | None) -> tuple[list[Found], str]:
    """The devices that answer, and which ids were asked."""
    spec, toolbox = find_protocol(line.protocol)
    with opened(make_port(spec, line)) as transport:
        tools = toolbox.make_tools(transport)
        wanted = chosen_ids(ids, tools.ids)
        return tools.scan(wanted), ids or f"{tools.ids.start}-{tools.ids.stop - 1}"


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
