"""``oat-edge bus monitor``: what passes on a bus, with names."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.commands.bus_lines import as_json_line, as_line
from edge.commands.bus_ports import (
    Bitrate,
    DataBitrate,
    Line,
    Port,
    Protocol,
    chosen_ids,
    find_protocol,
    make_port,
    opened,
)
from edge.errors import UsageError
from edge.rates import NS_PER_S

if TYPE_CHECKING:
    from firmware_bridge.devices import Decoded

MOST_IDS = 256
TURN_NS = 100_000_000  # how soon a signal ends the loop
Timed = tuple[int, "Decoded"]


@dataclass(slots=True)
class Wanted:
    """What is shown, and until when."""

    ids: set[int] | None
    names: set[str] | None
    count: int | None
    end_ns: int | None

    def takes(self, decoded: Decoded) -> bool:
        """Tell whether a packet is asked for; what is for no one device goes with every id."""
        fits = self.ids is None or decoded.device_id is None or decoded.device_id in self.ids
        return fits and (self.names is None or decoded.name in self.names)


def monitor(
    protocol: Protocol,
    port: Port,
    through: Annotated[
        Path | None,
        typer.Option(help="Serial: make a port here, and pass on what its user sends and gets."),
    ] = None,
    ids: Annotated[str | None, typer.Option(help="Only these devices, as in 1,2.")] = None,
    names: Annotated[str | None, typer.Option(help="Only packets of these names.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="Stop after so long.")] = None,
    silent: Annotated[bool, typer.Option("--silent", help="CAN: acknowledge no frame.")] = False,
    bitrate: Bitrate = 1_000_000,
    data_bitrate: DataBitrate = 5_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show what passes on a bus until interrupted: time, > to or < from a device, its id, names.

    A serial port has one user: `--through` stands between it and its user; without, it listens on
    an adapter of its own.
    """
    line = Line(protocol, port, bitrate, data_bitrate)
    end_ns = None if seconds is None else time.monotonic_ns() + round(seconds * NS_PER_S)
    wanted = Wanted(_numbers(ids), set(names.split(",")) if names else None, count, end_ns)
    spec, toolbox = find_protocol(protocol)
    if spec.is_can and through is not None:
        raise UsageError("--through is for serial ports: a CAN bus has room for a listener")
    source: Any = _frames if spec.is_can else _relayed(through) if through else _bytes
    decoder: Any = toolbox.make_decoder()
    show = as_json_line if as_json else as_line
    start_ns = time.monotonic_ns()
    with (
        opened(make_port(spec, line, watch=True, silent=silent)) as transport,
        _stop_flag() as stop,
    ):
        for now_ns, decoded in _limited(source(transport, decoder, stop), wanted):
            print(show((now_ns - start_ns) / NS_PER_S, decoded), flush=True)
    if not spec.is_can and decoder.damaged:
        print(f"oat-edge: {decoder.damaged} damaged packets or stray bytes", file=sys.stderr)


def _numbers(text: str | None) -> set[int] | None:
    return None if text is None else set(chosen_ids(text, range(MOST_IDS)))


@contextmanager
def _stop_flag() -> Iterator[Callable[[], bool]]:
    """Becomes true with SIGINT or SIGTERM, which do nothing else meanwhile."""
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _limited(found: Iterator[Timed | None], wanted: Wanted) -> Iterator[Timed]:
    """What is wanted; None from the source is its turn without news."""
    left = wanted.count
    for item in found:
        if wanted.end_ns is not None and time.monotonic_ns() >= wanted.end_ns:
            return
        if item is None or not wanted.takes(item[1]):
            continue
        yield item
        left = None if left is None else left - 1
        if left == 0:
            return


def _frames(transport: Any, decoder: Any, stopped: Callable[[], bool]) -> Iterator[Timed | None]:
    from firmware_bridge.devices import DEVICE, Decoded

    while not stopped():
        frame = transport.receive(time.monotonic_ns() + TURN_NS)
        if frame is None:
            yield None
            continue
        unknown = Decoded(DEVICE, None, f"frame_{frame.can_id:03x}", {}, frame.data)
        yield time.monotonic_ns(), decoder.decode(frame) or unknown


def _bytes(transport: Any, decoder: Any, stopped: Callable[[], bool]) -> Iterator[Timed | None]:
    while not stopped():
        data = transport.read(1, time.monotonic_ns() + TURN_NS)
        now_ns = time.monotonic_ns()
        yield None
        for decoded in decoder.feed(data, None):
            yield now_ns, decoded


def _relayed(link: Path) -> Callable[..., Iterator[Timed | None]]:
    from firmware_bridge.transports.relay import SerialRelay

    def source(transport: Any, decoder: Any, stopped: Callable[[], bool]) -> Iterator[Timed | None]:
        with SerialRelay(transport, link) as relay:
            print(f"oat-edge: use {link} in place of the port", file=sys.stderr, flush=True)
            while not stopped():
                passed = relay.pass_on(time.monotonic_ns() + TURN_NS)
                now_ns = time.monotonic_ns()
                yield None
                for sender, data in passed:
                    for decoded in decoder.feed(data, sender):
                        yield now_ns, decoded

    return source
