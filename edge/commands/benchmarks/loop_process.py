"""The measured loop: the servo's own ticker and process set-up, in a process of its own.

Its tick does as little as a tick can: it looks at the clock and notes how late it is.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edge.commands.benchmarks.lateness import Int64Array
from edge.errors import RunError
from edge.rates import NS_PER_US, period_ns
from edge.realtime import configure
from edge.robot import ServoRates
from edge.ticker import Ticker

STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Setup:
    """What the kernel granted: whether SCHED_FIFO and locked memory, and what it refused."""

    fifo: bool
    locked: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """So many ticks: how late each began, ns, shape (ticks,), and the time that they cost, ns."""

    lateness_ns: Int64Array
    wall_ns: int
    cpu_ns: int
    spun_ns: int
    slack_ns: int


class LoopProcess:
    """A child process with two loops of one rate: ``spinning`` and ``frugal``; one runs at a time.

    A context manager; ``setup`` is what it got from the kernel.
    """

    def __init__(self, settings: ServoRates) -> None:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, settings), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> LoopProcess:
        self.setup: Setup = self._receive()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()  # it ends when nobody gives orders any more
        self._process.join(STOP_TIMEOUT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def measure(self, loop: str, ticks: int) -> Slice:
        """Let one loop run for so many ticks. Raises RunError if the process is gone."""
        self._connection.send((loop, ticks))
        measured: Slice = self._receive()
        return measured

    def _receive(self) -> Any:
        try:
            return self._connection.recv()
        except EOFError:
            raise RunError("the measured loop's process has ended by itself") from None


def _serve(connection: Connection, settings: ServoRates) -> None:
    warnings = configure(settings)
    fifo = os.sched_getscheduler(0) == os.SCHED_FIFO
    connection.send(Setup(fifo, _memory_is_locked(), tuple(warnings)))
    period = period_ns(settings.rate_hz)
    tickers = {
        "spinning": Ticker(period, settings.spin_us * NS_PER_US),
        "frugal": Ticker(period, 0),
    }
    try:
        while True:
            loop, ticks = connection.recv()
            connection.send(_measure(tickers[loop], ticks))
    except (EOFError, KeyboardInterrupt):
        return


def _measure(ticker: Ticker, ticks: int) -> Slice:
    lateness_ns = np.zeros(ticks, np.int64)
    spun_ns, cpu_ns, began_ns = ticker.spun_ns, time.process_time_ns(), time.monotonic_ns()
    ticker.restart()
    for index in range(ticks):
        due_ns = ticker.wait()
        lateness_ns[index] = time.monotonic_ns() - due_ns
    return Slice(
        lateness_ns,
        time.monotonic_ns() - began_ns,
        time.process_time_ns() - cpu_ns,
        ticker.spun_ns - spun_ns,
        ticker.slack_ns,
    )


def _memory_is_locked() -> bool:
    status = Path("/proc/self/status")
    if not status.exists():
        return False
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return fields.get("VmLck", "0 kB").split()[0] != "0"
