"""The supervisor: starts a run's processes, keeps the planner alive, holds the servo's lease."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np

from edge.errors import RunError
from edge.ladder import Mode
from edge.rates import NS_PER_S, RESTART_BACKOFF_NS, START_TIMEOUT_NS, STOP_TIMEOUT_NS
from edge.records import CONTROL
from edge.session import Session
from edge.shared_memory import Mailbox

CALM_NS = 10 * NS_PER_S  # a process alive for this long has its restarts forgiven


class Child:
    """One process of the run. ``restarts`` counts how often it was started anew."""

    def __init__(self, session: Session, name: str) -> None:
        self.name = name
        self.restarts = 0
        self._session = session
        self._process: subprocess.Popen[bytes] | None = None
        self._started_ns = 0
        self._in_a_row = 0

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running and self._process is not None else None

    @property
    def ready(self) -> bool:
        """Whether it has said that it does its work."""
        return self.pid is not None and self._session.file(f"{self.name}.ready").exists()

    @property
    def busy_ns(self) -> int:
        """When it last said that it is at work though not ready, file time; 0 if it did not."""
        file = self._session.file(f"{self.name}.busy")
        return file.stat().st_mtime_ns if file.exists() else 0

    @property
    def failure(self) -> str:
        """The line it died of, or how it ended; empty while it runs."""
        if self._process is None or self._process.poll() is None:
            return ""
        file = self._session.file(f"{self.name}.failure")
        if file.exists():
            return file.read_text(encoding="utf-8")
        return f"{self.name} ended with {_describe(self._process.returncode)}"

    @property
    def warnings(self) -> list[str]:
        """What the kernel refused it."""
        file = self._session.file(f"{self.name}.warnings")
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def start(self) -> None:
        """Start it, its errors going to ``NAME.log``."""
        for suffix in ("ready", "busy", "failure"):
            self._session.file(f"{self.name}.{suffix}").unlink(missing_ok=True)
        with self._session.file(f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edge.process", self.name, str(self._session.directory)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,
            )
        self._started_ns = time.monotonic_ns()

    def restart_if_dead(self, now_ns: int) -> bool:
        """Start it anew after a back-off that grows with deaths in a row; True when it did."""
        if self.pid is not None or self._process is None:
            return False
        if now_ns - self._started_ns > CALM_NS:
            self._in_a_row = 0
        backoff = RESTART_BACKOFF_NS[min(self._in_a_row, len(RESTART_BACKOFF_NS) - 1)]
        if now_ns - self._started_ns < backoff:
            return False
        self._in_a_row += 1
        self.restarts += 1
        self.start()
        return True

    def stop(self, timeout_ns: int = STOP_TIMEOUT_NS) -> None:
        """End it: a request first, then by force."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        self.wait(timeout_ns)
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def wait(self, timeout_ns: int = STOP_TIMEOUT_NS) -> None:
        """Wait for its end, at most so long."""
        if self._process is not None:
            try:
                self._process.wait(timeout_ns / NS_PER_S)
            except subprocess.TimeoutExpired:
                return


class Supervisor:
    """All processes of one run, and the one voice that commands the servo."""

    def __init__(self, session: Session, control: Mailbox, emulated: bool) -> None:
        self.servo = Child(session, "servo")
        self.planner = Child(session, "planner")
        self.plant = Child(session, "plant") if emulated else None
        self._control = control
        self._record = np.zeros((), CONTROL)

    @property
    def children(self) -> list[Child]:
        """Every process of the run, in the order of starting."""
        return [child for child in (self.plant, self.planner, self.servo) if child is not None]

    @property
    def pids(self) -> dict[str, int | None]:
        """Process ids by name."""
        return {child.name: child.pid for child in self.children}

    def start(self) -> None:
        """Start everything; returns when all is ready. Raises RunError naming what is not."""
        for child in self.children:
            if child is self.servo and self.plant is not None:
                self._await(self.plant)  # its ports must exist before the servo opens them
            child.start()
            self.command(Mode.IDLE)
        for child in self.children:
            self._await(child)

    def command(self, mode: Mode, episode: int = 0) -> None:
        """Tell the servo what to do; said again it renews the servo's lease."""
        self._record["mode"] = mode
        self._record["episode"] = episode
        self.renew()

    def arm(self) -> None:
        """A person has asked for it: joints that stopped by themselves may be engaged anew."""
        self._record["arms"] += 1
        self.renew()

    def renew(self) -> None:
        """Renew the servo's lease."""
        self._record["heartbeat_ns"] = time.monotonic_ns()
        self._control.post(self._record)

    def look_after(self, now_ns: int) -> str:
        """Renew the lease and restart a dead planner; returns what happened, or an empty string.

        Raises RunError when the servo or the plant has died: nothing can go on without them.
        """
        self.renew()
        for child in (self.servo, self.plant):
            if child is not None and child.failure:
                raise RunError(child.failure)
        failure = self.planner.failure
        if failure and self.planner.restart_if_dead(now_ns):
            return f"planner restarted: {failure}"
        return ""

    def stop(self) -> None:
        """End the run: the servo brakes and ends by itself, then everything else is ended."""
        if self.servo.pid is not None:
            self.command(Mode.SHUTDOWN)
            self.servo.wait()
        for child in reversed(self.children):
            child.stop()

    def _await(self, child: Child) -> None:
        """Wait until it is ready; one that says it is at work may take as long as it says so."""
        busy_ns, give_up_ns = child.busy_ns, time.monotonic_ns() + START_TIMEOUT_NS
        while not child.ready:
            if child.failure:
                raise RunError(child.failure)
            if child.busy_ns != busy_ns:
                busy_ns, give_up_ns = child.busy_ns, time.monotonic_ns() + START_TIMEOUT_NS
            if time.monotonic_ns() > give_up_ns:
                raise RunError(f"{child.name} is not ready after {START_TIMEOUT_NS // NS_PER_S} s")
            self.renew()
            time.sleep(0.01)


def _describe(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
