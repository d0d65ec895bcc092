"""Cycles of every protocol's joint bus against its emulated devices in another process.

A cycle is one ``write_setpoints`` and one ``read_state``. The wire limit is the time that its bits
take on the line, with ``reaction_us``, which the devices need before they answer; the emulated line
is paced to both. ``codec_us`` is a cycle with the line's answers replayed from memory and the
devices at a standstill: what our own code costs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import RunError, UsageError
from edge.safety import Limits, SafetyFilter, Stop
from firmware_bridge.bus import JointBus
from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.errors import BusTimeout
from firmware_bridge.joint_map import JointMap
from firmware_bridge.messages import Float64Array, SafeSetpoint
from firmware_bridge.protocols import BusOptions, ProtocolSpec, load_protocols

WARM_UP = 20
CODEC_CYCLES = 5_000  # a tenth of a second: a core that slept before is at its pace by then
PATIENCE = 100
NS_PER_US = 1000.0
START_TIMEOUT_S = 20.0


def bench_bus(names: str, joint_counts: Sequence[int], cycles: int) -> dict[str, Any]:
    """Rows for each protocol (comma-separated, or "all") and joint count; raises UsageError."""
    known = load_protocols()
    timed = [name for name, spec in known.items() if not spec.reports_unasked]
    wanted = timed if names == "all" else names.split(",")
    for name in wanted:
        if name not in known:
            raise UsageError(f"protocol {name!r} is not known (known: {', '.join(timed)})")
        if name not in timed:
            raise UsageError(f"protocol {name} reports unasked: its cycle is its controller's own")
    rows = [_row(known[name], joints, cycles) for name in wanted for joints in joint_counts]
    return {"rows": rows}


def _row(spec: ProtocolSpec, joints: int, cycles: int) -> dict[str, Any]:
    tapes: list[CanTape | SerialTape] = []

    def wrap(transport: Any) -> CanTape | SerialTape:
        tapes.append(CanTape(transport) if spec.is_can else SerialTape(transport))
        return tapes[-1]

    ids = tuple(range(spec.first_id, spec.first_id + joints))
    with _emulated(spec, joints) as (address, devices):
        options = BusOptions(watchdog_ms=0, patience=PATIENCE, wrap=wrap)
        bus = spec.make_bus(address, JointMap(ids), options)
        bus.open()
        bus.enable()
        still = _hold(bus.read_state().position_rad)
        live_us, lost = _time_cycles(bus, still, cycles)
        tapes[0].replays = True
        with _paused(devices):
            codec_us, _ = _time_cycles(bus, still, CODEC_CYCLES)
        tapes[0].replays = False
        bus.disable()
        bus.close()
    limit_us = spec.wire_us(joints) + spec.reaction_us
    p50, p99 = np.percentile(live_us, (50, 99))
    return {
        "protocol": spec.name,
        "joints": joints,
        "cycle_us_p50": round(float(p50), 1),
        "cycle_us_p99": round(float(p99), 1),
        "wire_limit_us": round(limit_us, 1),
        "reaction_us": spec.reaction_us,
        "ratio": round(float(p50) / limit_us, 3),
        "codec_us": round(float(np.percentile(codec_us, 50)), 1),
        "cycles": cycles,
        "lost": lost,
    }


def _hold(position_rad: Float64Array) -> SafeSetpoint:
    """The setpoint that keeps the joints where they are, made where every setpoint is made."""
    wide = np.full_like(position_rad, 100.0)
    limits = Limits(-wide, wide, wide, wide, 1000.0 * wide, wide)
    safety = SafetyFilter(tuple(f"joint {i}" for i in range(len(wide))), limits, 0.01)
    safety.engage(position_rad)
    verdict = safety.decelerate(time.monotonic_ns())
    if isinstance(verdict, Stop):
        raise RunError(verdict.reason)
    return verdict


def _time_cycles(bus: JointBus, still: SafeSetpoint, cycles: int) -> tuple[list[float], int]:
    """Duration of each cycle [us], and how many got no answer."""
    times: list[float] = []
    lost = 0
    for _ in range(WARM_UP + cycles):
        start_ns = time.perf_counter_ns()
        bus.write_setpoints(still)
        try:
            bus.read_state()
        except BusTimeout:
            lost += 1
        times.append((time.perf_counter_ns() - start_ns) / NS_PER_US)
    return times[WARM_UP:], lost


@contextmanager
def _paused(process: subprocess.Popen[str]) -> Iterator[None]:
    """The emulated devices stand still: their physics must not slow down what is measured."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextmanager
def _emulated(spec: ProtocolSpec, joints: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The protocol's devices in a process of their own; yields what to connect to, and that."""
    with tempfile.TemporaryDirectory(prefix="oat-bench-") as directory:
        link = str(Path(directory) / "tty")
        channel = f"bench-{os.getpid()}"
        line = ("--channel", channel) if spec.is_can else ("--link", link)
        code = "import typer; from edge.commands.emulate import emulate; typer.run(emulate)"
        command = [sys.executable, "-c", code, spec.name, "--joints", str(joints), *line]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                address = process.stdout.readline().strip() if process.stdout else ""
                if not address:
                    raise RunError(f"the emulated {spec.name} devices did not start")
                with _on_cores_of_its_own(process.pid):
                    yield address, process
            finally:
                process.terminate()
                process.wait(START_TIMEOUT_S)


@contextmanager
def _on_cores_of_its_own(pid: int) -> Iterator[None]:
    """Devices are hardware of their own: what stands in for them computes beside us, not before."""
    allowed = os.sched_getaffinity(0)
    own = max(allowed)
    if len(allowed) > 1:
        os.sched_setaffinity(0, {own})
        os.sched_setaffinity(pid, allowed - {own})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


class CanTape:
    """A CAN transport that remembers the answers to the last frames sent, and can replay them."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.replays = False
        self._answers: dict[tuple[int, int], list[CanFrame]] = {}
        self._last = (0, 0)  # how many frames, and the first one's id
        self._waiting: deque[CanFrame] = deque()

    def open(self) -> None:
        self._transport.open()

    def send(self, frames: Sequence[CanFrame]) -> None:
        self._last = (len(frames), frames[0].can_id if frames else 0)
        if self.replays:
            self._waiting = deque(self._answers.get(self._last, ()))
            return
        self._answers[self._last] = []
        self._transport.send(frames)

    def receive(self, deadline_ns: int) -> CanFrame | None:
        if self.replays:
            return self._waiting.popleft() if self._waiting and deadline_ns else None
        frame: CanFrame | None = self._transport.receive(deadline_ns)
        if frame is not None and self._last in self._answers:
            self._answers[self._last].append(frame)
        return frame

    def flush(self) -> None:
        self._transport.flush()

    def close(self) -> None:
        self._transport.close()


class SerialTape:
    """The same for a byte stream."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.replays = False
        self._answers: dict[bytes, bytes] = {}
        self._last = b""

    def open(self) -> None:
        self._transport.open()

    def write(self, data: bytes) -> None:
        self._last = data
        if not self.replays:
            self._answers[data] = b""
            self._transport.write(data)

    def read(self, minimum: int, deadline_ns: int) -> bytes:
        if self.replays:
            return self._answers.get(self._last, b"")
        data: bytes = self._transport.read(minimum, deadline_ns)
        self._answers[self._last] += data
        return data

    def flush_input(self) -> None:
        if not self.replays:
            self._transport.flush_input()

    def close(self) -> None:
        self._transport.close()


def print_bus(report: dict[str, Any]) -> None:
    """The rows as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="One cycle: all setpoints out, all states in")
    columns = ("protocol", "joints", "cycle_us_p50", "cycle_us_p99", "wire_limit_us", "ratio")
    for title in (*columns, "codec_us", "lost"):
        table.add_column(title.replace("_", " "), justify="right")
    for row in report["rows"]:
        table.add_row(*(str(row[key]) for key in (*columns, "codec_us", "lost")))
    Console().print(table)
