"""Joints that stopped by themselves: the run waits for a person who asks to arm them again."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from edge.errors import RunError
from edge.ladder import Mode
from edge.rates import ENGAGE_NS, NS_PER_S
from edge.records import reason_of
from edge.shared_memory import Record
from edge.supervisor import Supervisor

ENGAGE_TIMEOUT_NS = ENGAGE_NS + NS_PER_S  # from asking the servo: its own reason comes first


class DisarmedError(Exception):
    """Joints stopped by themselves, or their port is gone: only a person may have them engaged."""


class Arming:
    """The wait for a person, at most ``within_s``.

    ``turn`` is one turn of the supervisor's loop and returns the servo's newest tick; ``note``
    takes what happens, as an event and its reason.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        turn: Callable[[], Record],
        note: Callable[[str, str], None],
        within_s: float,
    ) -> None:
        self._supervisor = supervisor
        self._turn = turn
        self._note = note
        self._within_s = within_s
        self._asked = False

    def ask(self) -> None:
        """A person has seen to the robot and wants it engaged where it stands."""
        self._asked = True

    def wait(self, episode: int) -> None:
        """Return once the joints are engaged again, on their way home.

        Raises RunError with the reason they stopped for when nobody asks, or it lasts.
        """
        self._supervisor.command(Mode.IDLE, episode)
        tick = self._turn()
        self._note("disarmed", reason_of(tick))
        if self._within_s:
            self._tell(reason_of(tick))
        self._asked = False
        give_up_ns = time.monotonic_ns() + round(self._within_s * NS_PER_S)
        while not (self._asked and self._engage(episode)):
            if time.monotonic_ns() > give_up_ns:
                raise RunError(reason_of(tick))
            tick = self._turn()

    def _tell(self, reason: str) -> None:
        print(
            f"oat-edge: {reason}; when that is mended, kill -USR1 {os.getpid()} "
            f"arms the robot where it stands (waiting {self._within_s:g} s)",
            file=sys.stderr,
            flush=True,
        )

    def _engage(self, episode: int) -> bool:
        """Have the joints engaged; whether they are. The servo forgets it while they are away."""
        self._asked = False
        self._supervisor.arm()
        self._supervisor.command(Mode.HOME, episode)
        tick = self._await_engaged()
        if not tick["disarmed"]:
            return True
        self._supervisor.command(Mode.IDLE, episode)
        self._note("not armed", reason_of(tick))
        return False

    def _await_engaged(self) -> Record:
        give_up_ns = time.monotonic_ns() + ENGAGE_TIMEOUT_NS
        tick = self._turn()
        while tick["disarmed"] and time.monotonic_ns() < give_up_ns:
            tick = self._turn()
        return tick
