"""``oat-edge bus latency``: how long a question and its answer take."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
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
from edge.errors import RunError
from edge.rates import NS_PER_US

if TYPE_CHECKING:
    from firmware_bridge.devices import DeviceTools

WARM_UP = 5
BINS_PER_OCTAVE = 2
MOST_BINS = 16
BAR = 40  # characters


@dataclass(slots=True)
class Trips:
    """Round trips of one device [us]."""

    device_id: int
    lost: int = 0
    taken_us: list[float] = field(default_factory=list)


def latency(
    protocol: Protocol,
    port: Port,
    ids: Ids = None,
    trips: Annotated[int, typer.Option("--n", min=10, max=1_000_000, help="For each.")] = 1_000,
    bitrate: Bitrate = 1_000_000,
    data_bitrate: DataBitrate = 5_000_000,
    as_json: Json = False,
) -> None:
    """Measure round trips to each device: one short question and its answer; moves nothing."""
    line = Line(protocol, port, bitrate, data_bitrate)
    spec, toolbox = find_protocol(protocol)
    with opened(make_port(spec, line)) as transport:
        tools = toolbox.make_tools(transport)
        found = [device.device_id for device in tools.scan(chosen_ids(ids, tools.ids))]
        if not found:
            raise RunError(f"no device answers on {port} ({protocol}, {bitrate} bit/s)")
        measured = measure(tools, found, trips)
    if as_json:
        rows = [_row(one) for one in measured]
        print(json.dumps({"protocol": protocol, "port": port, "rows": rows} | _histogram(measured)))
    else:
        _print(measured, f"Round trips, {protocol} on {port}")


def measure(tools: DeviceTools, ids: Sequence[int], trips: int) -> list[Trips]:
    """So many round trips to each id, in turns; the first few do not count."""
    from firmware_bridge.errors import BusTimeout

    measured = [Trips(device_id) for device_id in ids]
    for number in range(-WARM_UP, trips):
        for one in measured:
            start_ns = time.perf_counter_ns()
            try:
                tools.ping(one.device_id)
            except BusTimeout:
                one.lost += number >= 0
                continue
            if number >= 0:
                one.taken_us.append((time.perf_counter_ns() - start_ns) / NS_PER_US)
    return measured


def _row(one: Trips) -> dict[str, Any]:
    import numpy as np

    row: dict[str, Any] = {"id": one.device_id, "n": len(one.taken_us), "lost": one.lost}
    for name, share in (("p50_us", 0.5), ("p99_us", 0.99), ("max_us", 1.0)):
        row[name] = round(float(np.quantile(one.taken_us, share)), 1) if one.taken_us else None
    return row


def _histogram(measured: Sequence[Trips]) -> dict[str, Any]:
    """Counts of all trips, in bins that grow by the same factor; the last takes what is beyond."""
    import numpy as np

    taken = np.array([us for one in measured for us in one.taken_us])
    if not taken.size:
        return {"histogram": []}
    first = math.floor(math.log2(taken.min()) * BINS_PER_OCTAVE)
    last = math.ceil(math.log2(taken.max()) * BINS_PER_OCTAVE)
    bins = max(1, min(MOST_BINS, last - first))
    edges = [2.0 ** ((first + i) / BINS_PER_OCTAVE) for i in range(bins)] + [math.inf]
    counts, _ = np.histogram(taken, edges)
    rows = zip(edges, edges[1:], counts.tolist(), strict=False)
    return {
        "histogram": [
            {"from_us": round(low, 1), "to_us": None if high == math.inf else round(high, 1)}
            | {"count": count}
            for low, high, count in rows
        ]
    }


def _print(measured: Sequence[Trips], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    columns = ("id", "n", "lost", "p50_us", "p99_us", "max_us")
    for column in columns:
        table.add_column(column.replace("_us", " µs"), justify="right")
    for one in measured:
        row = _row(one)
        table.add_row(*("-" if row[key] is None else str(row[key]) for key in columns))
    console = Console()
    console.print(table)
    bins = _histogram(measured)["histogram"]
    most = max((row["count"] for row in bins), default=0)
    for row in bins:
        bar = "█" * math.ceil(BAR * row["count"] / most)
        console.print(f"{row['from_us']:>9.0f} µs  {bar} {row['count']}", highlight=False)
