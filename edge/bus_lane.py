"""One of several buses: a thread of its own does its work, so that nobody waits for it too long.

The servo's thread hands over one piece of work at a time and waits for its end up to a deadline. A
bus that is not done by then stays busy, gets nothing new, and is looked at again in the next tick.
Threads do, although they share one interpreter: what a bus does is wait, and to wait is to let the
others run.
"""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from edge.rates import NS_PER_S, NS_PER_US
from edge.worker import Worker
from firmware_bridge.bus import JointBus
from firmware_bridge.errors import (
    BridgeError,
    BusTimeout,
    DeviceError,
    PortError,
    ProtocolError,
)
from firmware_bridge.messages import JointState, SafeSetpoint

REOPEN_NS = NS_PER_S  # between attempts to open a port that is gone


class BusLane:
    """A bus, its thread, and what is known of it; all methods are for the servo's thread.

    ``joints`` are the indices of its joints in the robot, ``turns`` says whether any of them takes
    velocities; ``budget_ns`` is how long a tick waits for a reading. ``state`` is the last good
    reading, ``missed`` whether the last tick got none. ``engaged``: its joints obey setpoints; not
    so once a device has stopped or the port is gone, and ``refused`` until somebody took notice.
    Enabling makes them ``enabled``; it is for the group to say when they are engaged.
    """

    def __init__(
        self,
        name: str,
        bus: JointBus,
        joints: npt.NDArray[np.intp],
        budget_ns: int,
        turns: bool = False,
    ) -> None:
        self.name = name
        self.turns = turns
        self.bus = bus
        self.joints = joints
        self.budget_ns = budget_ns
        self.state: JointState | None = None
        self.fault = ""
        self.missed = True
        self.engaged = False
        self.enabled = False
        self.refused = False
        self.read_ns = 0
        self.write_ns = 0
        self._fresh = False
        self._enable_begun = False
        self._enable_comes_next = False
        self._enable_fault = ""
        self._port_gone = False
        self._reopen_ns = 0
        self._worker = Worker(f"bus-{name}", self._take_fault)

    def begin_read(self) -> None:
        """Have it read, unless it is still busy: then there is nothing fresh in this tick.

        Nor is there where it is to be enabled next: readings that outlast their ticks would keep
        that from ever beginning.
        """
        if self.finished(0) and not self._enable_comes_next:
            self._fresh = False
            self._worker.begin(self._reopen_and_read if self._port_gone else self._read)

    def begin_write(self, setpoint: SafeSetpoint) -> None:
        """Have its part of a setpoint sent, if its joints are engaged and it is not busy."""
        if self.engaged and self.finished(0):
            part = setpoint.part(self.joints)
            self._worker.begin(lambda: self._write(part))

    def ask_to_enable(self) -> None:
        """Have its joints enabled anew when ``look_at_enabling`` finds it idle."""
        self._enable_begun = False

    def look_at_enabling(self) -> bool:
        """Whether its joints are enabled; begins it where it is idle. Never waits.

        Raises DeviceError with the reason where it failed.
        """
        self._enable_comes_next = not self._enable_begun
        if not self.finished(0):
            return False
        if self._enable_comes_next:
            self._enable_begun, self._enable_comes_next, self.enabled = True, False, False
            self._worker.begin(self._enable)
            return False
        if not self.enabled:
            raise DeviceError(self._enable_fault)
        return True

    def forget_enabling(self) -> None:
        """Nobody asks any more; what has begun ends by itself."""
        self._enable_comes_next = False

    @property
    def is_enabling(self) -> bool:
        """Whether its thread is at it now."""
        return self._worker.is_at(self._enable)

    def finished(self, deadline_ns: int) -> bool:
        """Wait for the end of its work, at most so long; whether it has come."""
        return self._worker.finished(deadline_ns)

    def end_read(self, began_ns: int) -> str:
        """Wait for the reading until its budget is over; what is wrong with it, or nothing."""
        if self._enable_comes_next or (self.is_enabling and not self.finished(0)):
            self.missed = True
            return f"bus {self.name}: its joints are being enabled"
        in_time = self.finished(began_ns + self.budget_ns)
        self.missed = not (in_time and self._fresh)
        if in_time:
            return self.fault if self.missed else ""
        return f"bus {self.name}: no answer within {self.budget_ns // NS_PER_US} us"

    def take_refusal(self) -> str:
        """Why its joints obey no more; told once."""
        self.refused = False
        return self.fault

    def close(self) -> None:
        """End the thread and close the bus, torque staying as it is."""
        self._worker.end()
        self.bus.close()

    def _take_fault(self, error: Exception) -> None:
        """What a piece of work raised: an answer that lacks ages a state; else nothing obeys."""
        known = isinstance(error, BridgeError)
        self._fail(str(error) if known else f"{type(error).__name__}: {error}")
        self._port_gone = self._port_gone or isinstance(error, PortError)
        if not isinstance(error, BusTimeout | ProtocolError):
            self._release()

    def _fail(self, fault: str) -> None:
        self.fault, self._fresh = f"bus {self.name}: {fault}", False

    def _release(self) -> None:
        self.refused = self.refused or self.engaged or self.enabled
        self.engaged = self.enabled = False

    def _read(self) -> None:
        began_ns = time.monotonic_ns()
        try:
            self.state = self.bus.read_state()
        finally:
            self.read_ns = time.monotonic_ns() - began_ns
        self.fault, self._fresh = "", True

    def _reopen_and_read(self) -> None:
        now_ns = time.monotonic_ns()
        if now_ns < self._reopen_ns:
            return
        self._reopen_ns = now_ns + REOPEN_NS
        self.bus.close()
        self.bus.open()
        self._port_gone = False
        self._read()

    def _write(self, part: SafeSetpoint) -> None:
        began_ns = time.monotonic_ns()
        try:
            self.bus.write_setpoints(part)
        finally:
            self.write_ns = time.monotonic_ns() - began_ns

    def _enable(self) -> None:
        try:
            self.bus.enable()
        except Exception as error:  # told to who asked; the top of the thread does the rest
            self._enable_fault = f"bus {self.name}: {error}"
            raise
        self.enabled, self.refused = True, False
