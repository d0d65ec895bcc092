"""``oat-edge emulate``: a robot's motor bus without the robot, with physics behind it."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from firmware_bridge.emulation.plant import Plant
    from firmware_bridge.protocols import Emulation, LineOptions, ProtocolSpec

TURN_NS = 100_000_000  # how soon a signal ends the loop
PLANTS = ("simple", "viperx", "so101")
CAN_INTERFACE = "oatcan"
ADAPTER = "slcan"
ADAPTER_QUEUE = 100  # frames
ADAPTER_TURN_NS = 1_000_000


def emulate(
    protocol: Annotated[
        str, typer.Argument(help="Wire protocol; `oat-edge bus protocols` lists them.")
    ] = "dynamixel",
    joints: Annotated[int, typer.Option(help="Motors on the bus.", min=1, max=252)] = 7,
    link: Annotated[
        Path | None, typer.Option(help="Serial and slcan: symbolic link to make to the port.")
    ] = None,
    interface: Annotated[
        str, typer.Option(help="CAN: oatcan, or slcan for a serial adapter in front of it.")
    ] = CAN_INTERFACE,
    channel: Annotated[
        str | None, typer.Option(help=f"CAN: name of the simulated bus (default {CAN_INTERFACE}).")
    ] = None,
    plant: Annotated[
        str, typer.Option(help="What the motors move: simple, viperx or so101.")
    ] = "simple",
    baud: Annotated[int, typer.Option(help="Serial: speed of the line.", min=9600)] = 1_000_000,
) -> None:
    """Emulate motors until interrupted; prints the port or the channel to connect to."""
    from firmware_bridge.errors import BridgeError
    from firmware_bridge.protocols import LineOptions, load_protocols

    known = load_protocols()
    if protocol not in known:
        _usage(f"protocol {protocol!r} is not known (known: {', '.join(known)})")
    if interface not in (CAN_INTERFACE, ADAPTER):
        known_ones = f"{CAN_INTERFACE}, {ADAPTER}"
        _usage(f"interface {interface!r} cannot be emulated on (known: {known_ones})")
    if interface == ADAPTER and not known[protocol].is_can:
        _usage(f"interface {ADAPTER!r} is for CAN: {protocol} runs on a serial line")
    if link is not None and known[protocol].is_can and interface != ADAPTER:
        _usage(f"--link {str(link)!r} is for serial ports: {protocol} runs on CAN (--channel)")
    if channel is not None and not known[protocol].is_can:
        _usage(f"--channel {channel!r} is for CAN: {protocol} runs on a serial line (--link)")
    if plant not in PLANTS:
        _usage(f"plant {plant!r} is not known (known: {', '.join(PLANTS)})")
    line = LineOptions(link, baud, channel or CAN_INTERFACE, may_host=interface != ADAPTER)
    try:
        emulation = make_emulation(known[protocol], plant, joints, line)
        if interface == ADAPTER:
            emulation = BehindAdapter(emulation, line)
    except ValueError as error:
        _usage(str(error))
    except BridgeError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from error
    _serve(emulation)


def make_emulation(spec: ProtocolSpec, plant: str, joints: int, line: Any) -> Emulation:
    """Devices of ``spec`` in front of a plant; raises ``ValueError`` or ``PortError``."""
    from firmware_bridge.emulation.plant import FirstOrderPlant

    body: Plant = FirstOrderPlant(joints) if plant == "simple" else _arm_plant(plant)
    return spec.make_emulation(body, plant, line)


class BehindAdapter:
    """An ``Emulation`` on CAN that is reached through an emulated serial adapter."""

    def __init__(self, emulation: Emulation, line: LineOptions) -> None:
        from firmware_bridge.can_bus.client import BusClient, ControllerSettings
        from firmware_bridge.emulation.slcan_adapter import SlcanAdapter

        self._emulation = emulation
        client = BusClient(line.channel, ControllerSettings(queue_length=ADAPTER_QUEUE))
        client.open()
        self._adapter = SlcanAdapter(client, line.link)

    @property
    def address(self) -> str:
        """As a client names it; nothing restarts here when the port is opened."""
        return f"{ADAPTER}:{self._adapter.path}?sleep_after_open=0"

    def run_until(self, deadline_ns: int) -> None:
        """Run both in turns until the monotonic time ``deadline_ns``."""
        while (now_ns := time.monotonic_ns()) < deadline_ns:
            self._emulation.run_until(min(deadline_ns, now_ns + ADAPTER_TURN_NS))
            self._adapter.serve()

    def close(self) -> None:
        """Unplug the adapter, then the devices."""
        self._adapter.close()
        self._emulation.close()


def _arm_plant(name: str) -> Plant:
    from models.tasks import get_task

    plant: Any = get_task(f"{name}-lift").make_plant()
    return plant  # type: ignore[no-any-return]


def _serve(emulation: Emulation) -> None:
    """Say where, and run until SIGTERM or SIGINT; the port goes with it."""
    from firmware_bridge.timers import sharpen_timers

    with suppress(OSError, AttributeError):
        sharpen_timers()
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    print(emulation.address, flush=True)  # from here on it may be told to stop
    try:
        while not stopped:
            emulation.run_until(time.monotonic_ns() + TURN_NS)
    finally:
        emulation.close()


def _usage(message: str) -> None:
    print(message, file=sys.stderr)
    raise typer.Exit(2)
