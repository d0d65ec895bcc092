"""Engaging joints beside the loop: asked for, looked after every tick, and given up in time.

Enabling a bus is a conversation of many milliseconds with every device, and the loop does not wait
for it. Only from a reading that was taken after its end are setpoints made again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edge.rates import ENGAGE_NS, NS_PER_S
from edge.reading import Reading
from firmware_bridge.errors import BusTimeout


class Engageable(Protocol):
    """Joints that can be enabled while somebody else goes on; no method waits."""

    @property
    def holds_any(self) -> bool:
        """Whether any joint still obeys setpoints."""

    def begin_engaging(self) -> None:
        """Have all joints that do not obey enabled where they are; they get no setpoints."""

    def engaging_done(self) -> bool:
        """Whether it is done, to be asked until it is; raises ``BridgeError`` where it failed."""

    def confirm_engaged(self) -> None:
        """Let setpoints through again, which the caller starts from where the joints are now."""

    def abandon_engaging(self) -> None:
        """Nobody wants it any more: joints that were being enabled get no setpoints."""


class Engagement:
    """One attempt at a time to have the joints engaged; it is handed the time."""

    def __init__(self, joints: Engageable) -> None:
        self.pending = False
        self._joints = joints
        self._deadline_ns = 0
        self._done_ns: int | None = None

    @property
    def holds_any(self) -> bool:
        """Whether any joint obeys setpoints meanwhile."""
        return self._joints.holds_any

    def begin(self, reading: Reading, now_ns: int) -> None:
        """Start an attempt, which ends within ``ENGAGE_NS``; raises as ``look`` does."""
        self.pending, self._done_ns = True, None
        self._deadline_ns = now_ns + ENGAGE_NS
        self._joints.begin_engaging()
        self.look(reading, now_ns)

    def look(self, reading: Reading, now_ns: int) -> bool:
        """Once a tick: whether joints are enabled and ``reading`` was taken after that.

        Raises ``BridgeError`` where enabling failed or took too long; the attempt goes on until
        ``abandon`` or ``confirm``.
        """
        if self._done_ns is not None:
            state = reading.state
            return reading.fresh and state is not None and state.stamp_ns >= self._done_ns
        if self._joints.engaging_done():
            self._done_ns = now_ns
        elif self.overdue(now_ns):
            raise BusTimeout(f"joints not enabled within {ENGAGE_NS // NS_PER_S} s")
        return False

    @property
    def enabled(self) -> bool:
        """Whether joints are enabled and wait for a reading to start from."""
        return self.pending and self._done_ns is not None

    def overdue(self, now_ns: int) -> bool:
        """Whether the attempt has lasted too long."""
        return now_ns > self._deadline_ns

    def confirm(self) -> None:
        """The joints are followed from the reading that ``look`` agreed to."""
        self._joints.confirm_engaged()
        self.pending = False

    def abandon(self) -> None:
        """End the attempt, if there is one, without its joints."""
        if self.pending:
            self._joints.abandon_engaging()
        self.pending = False


class AtOnce:
    """``Engageable`` over joints whose ``enable`` takes no time, as those of a simulation."""

    def __init__(self, enable: Callable[[], None]) -> None:
        self._enable = enable
        self.holds_any = False

    def begin_engaging(self) -> None:
        """Enable them."""
        self.holds_any = False
        self._enable()

    def engaging_done(self) -> bool:
        """They are."""
        return True

    def confirm_engaged(self) -> None:
        """Nothing was held back."""

    def abandon_engaging(self) -> None:
        """Nothing is under way."""
