"""A bus whose port may go and come back: the loop goes on meanwhile and never waits for it.

Nor does it wait for the joints to be enabled: that too is done by a thread that lives no longer.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from itertools import chain, repeat
from typing import TypeVar

from edge.rates import NS_PER_S, REOPEN_BACKOFF_NS, SWITCH_S
from firmware_bridge.bus import JointBus
from firmware_bridge.errors import BridgeError, BusTimeout, DeviceError, PortError
from firmware_bridge.messages import JointState, SafeSetpoint

JOIN_TIMEOUT_S = 2.0
Result = TypeVar("Result")


class BusAwayError(DeviceError):
    """The port is gone and being opened again, or it was gone and nobody has enabled since."""


class ReturningBus:
    """Implements ``JointBus`` over the only bus of a robot; all calls are for one thread.

    Once the port is gone every call raises ``BusAwayError`` at once, while a thread of its own
    closes the bus and opens it again, at first soon, then more seldom. It lives no longer than
    that. Back again, the joints are read; setpoints are refused until ``enable``, which starts from
    the measured position.
    """

    def __init__(self, bus: JointBus) -> None:
        self._bus = bus
        self._loss = ""
        self._attempted = ""  # what the last attempt to open it came to
        self._must_enable = False
        self._enabling: threading.Thread | None = None
        self._enable_fault: BridgeError | None = None
        self._asked = False  # to be enabled, and not begun yet
        self._reopening: threading.Thread | None = None
        self._is_back = threading.Event()
        self._ended = threading.Event()

    def open(self) -> None:
        """See ``JointBus.open``; a port that is not there at first is an error."""
        self._bus.open()

    def read_state(self) -> JointState:
        """See ``JointBus.read_state``."""
        return self._attempt(self._bus.read_state)

    def write_setpoints(self, setpoint: SafeSetpoint) -> None:
        """See ``JointBus.write_setpoints``."""
        if self._must_enable:
            raise BusAwayError(self._loss)
        self._attempt(lambda: self._bus.write_setpoints(setpoint))

    def enable(self) -> None:
        """See ``JointBus.enable``."""
        self._attempt(self._bus.enable)
        self._must_enable = False

    @property
    def holds_any(self) -> bool:
        """Whether its joints get setpoints."""
        return not self._must_enable

    def begin_engaging(self) -> None:
        """See ``Engageable``; until ``confirm_engaged`` setpoints are refused."""
        self._loss, self._must_enable, self._asked = "the joints are not engaged", True, True

    def engaging_done(self) -> bool:
        """See ``Engageable``. Meanwhile every other call raises ``BusTimeout`` at once."""
        if self._enabling is not None and self._enabling.is_alive():
            return False
        if self._asked:
            self._attempt(self._start_enabling)
            return False
        fault, self._enabling = self._enable_fault, None
        if fault is not None:
            self._attempt(lambda: _raise(fault))
        return True

    def confirm_engaged(self) -> None:
        """See ``Engageable``."""
        self._must_enable = False

    def abandon_engaging(self) -> None:
        """See ``Engageable``; what is under way ends by itself, and nothing comes of it."""
        self._asked = False

    def _start_enabling(self) -> None:
        self._asked, self._enable_fault = False, None
        sys.setswitchinterval(SWITCH_S)
        self._enabling = threading.Thread(target=self._enable, name="enable", daemon=True)
        self._enabling.start()

    def _enable(self) -> None:
        try:
            self._bus.enable()
        except BridgeError as error:
            self._enable_fault = error
        except Exception as error:  # the top of a thread: its death would look like a success
            self._enable_fault = DeviceError(f"{type(error).__name__}: {error}")

    def disable(self) -> None:
        """See ``JointBus.disable``."""
        self._attempt(self._bus.disable)

    def close(self) -> None:
        """See ``JointBus.close``; ends the attempts to open it."""
        self._ended.set()
        for thread in (self._reopening, self._enabling):
            if thread is not None:
                thread.join(JOIN_TIMEOUT_S)
        self._bus.close()

    def _attempt(self, action: Callable[[], Result]) -> Result:
        """Do something with a bus that is there."""
        if self._reopening is not None:
            self._greet()
        if self._enabling is not None and self._enabling.is_alive():
            raise BusTimeout("the joints are being enabled")
        try:
            return action()
        except PortError as error:
            self._lose(str(error))
            raise BusAwayError(str(error)) from error

    def _greet(self) -> None:
        """Take the bus back from the thread that has opened it; raises while it has not."""
        if not self._is_back.is_set():
            raise BusAwayError(self._attempted)
        self._reopening = None

    def _lose(self, reason: str) -> None:
        self._loss = self._attempted = reason
        self._must_enable = True
        self._is_back.clear()
        self._reopening = threading.Thread(target=self._reopen, name="reopen", daemon=True)
        self._reopening.start()

    def _reopen(self) -> None:
        """Close, for that may wait for bytes that nobody takes, and open until it works."""
        self._bus.close()
        for pause_ns in chain(REOPEN_BACKOFF_NS, repeat(REOPEN_BACKOFF_NS[-1])):
            if self._ended.wait(pause_ns / NS_PER_S):
                return
            try:
                self._bus.open()
            except BridgeError as error:
                self._attempted = str(error)
            except Exception as error:  # the top of a thread: its death would look like a silence
                self._attempted = f"{type(error).__name__}: {error}"
            else:
                self._is_back.set()
                return


def _raise(error: BridgeError) -> None:
    raise error
