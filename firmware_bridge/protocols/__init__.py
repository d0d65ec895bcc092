"""Protocols by name: what each can do, its joint bus, and its emulated devices.

Found by the entry points ``oat_edge.protocols``, so that other packages can add theirs; a broken
one warns and takes no other down.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from firmware_bridge.bus import JointBus
from firmware_bridge.emulation.plant import Plant
from firmware_bridge.joint_map import JointMap
from firmware_bridge.protocols.toolboxes import Toolbox

GROUP = "oat_edge.protocols"


class Emulation(Protocol):
    """Emulated devices, their line and their plant."""

    @property
    def address(self) -> str:
        """What a client opens: a tty's path, or "interface:channel"."""

    def run_until(self, deadline_ns: int) -> None:
        """Run until the monotonic time ``deadline_ns``."""

    def close(self) -> None:
        """Take the line away."""


@dataclass(frozen=True, slots=True)
class LineOptions:
    """The line of emulated devices: ``link`` and ``baud`` for a tty, ``channel`` for CAN.

    ``may_host``: devices on CAN may be the bus of their channel too, as long as they run.
    """

    link: Path | None = None
    baud: int = 1_000_000
    channel: str = "oatcan"
    may_host: bool = True


@dataclass(frozen=True, slots=True)
class BusOptions:
    """Common settings of a joint bus; None leaves a protocol's own default.

    ``patience`` multiplies how long answers are waited for, but not ``read_budget_us``, which
    bounds a whole reading; ``fast_sync`` lets Dynamixel servos answer at once; ``wrap`` may put
    something (a recorder) around the transport.
    """

    bitrate: int = 1_000_000
    data_bitrate: int = 5_000_000
    watchdog_ms: int | None = None
    patience: int = 1
    read_budget_us: int | None = None
    fast_sync: bool = True
    wrap: Callable[[Any], Any] = field(default=lambda transport: transport)


@dataclass(frozen=True, slots=True)
class ProtocolSpec:
    """One protocol. ``wire`` is "serial", "can" or "can-fd".

    ``wire_us`` gives the time [us] that one cycle (all setpoints, all states) of so many joints
    takes on the wire at the default rates: no bus can be faster. ``reaction_us`` is what its
    emulated devices need before an answer; it delays a cycle once, others answer meanwhile.
    ``plan_hz`` is a sound rate for seven joints. ``first_id`` is where ids of a plain chain start.
    ``features``: which fields of a ``JointMap`` it heeds beyond ids, directions and zero offsets.
    ``toolbox``: its tools for single devices and for naming what passes, if it brings any.
    ``reports_unasked``: states come at the devices' own pace, so a host's cycle says nothing about
    the wire.
    """

    name: str
    title: str
    wire: str
    plan_hz: int
    watchdog: str
    limits: str
    first_id: int
    wire_us: Callable[[int], float]
    make_bus: Callable[[str, JointMap, BusOptions], JointBus]
    make_emulation: Callable[[Plant, str, LineOptions], Emulation]
    features: frozenset[str] = frozenset()
    toolbox: Callable[[], Toolbox] | None = None
    reports_unasked: bool = False
    reaction_us: float = 0.0

    @property
    def is_can(self) -> bool:
        """Tell whether it runs on CAN."""
        return self.wire != "serial"


def load_protocols(name: str | None = None) -> dict[str, ProtocolSpec]:
    """All protocols that are installed, by name; the one called ``name`` alone if that is given."""
    found: dict[str, ProtocolSpec] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        if name is not None and name != entry.name:
            continue
        try:
            spec = entry.load()
        except Exception as error:  # somebody else's package: it must not take ours down
            warnings.warn(f"protocol {entry.name} cannot be loaded: {error}", stacklevel=2)
            continue
        if isinstance(spec, ProtocolSpec):
            found[spec.name] = spec
        else:
            warnings.warn(f"protocol {entry.name} is no ProtocolSpec", stacklevel=2)
    return found
