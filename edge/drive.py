"""What the base is to do, as the servo hears it: velocities that count for a short while only."""

from __future__ import annotations

from edge.rates import DRIVE_NS
from edge.shared_memory import Mailbox
from firmware_bridge.messages import Float64Array


class DriveReference:
    """The newest velocities for the joints that take them; none once older than ``DRIVE_NS``."""

    def __init__(self, drive: Mailbox) -> None:
        self._drive = drive
        self._velocity_rad_s: Float64Array | None = None
        self._stamp_ns = 0

    def listen(self) -> None:
        """Take in the newest velocities."""
        record = self._drive.take()
        if record is not None:
            self._stamp_ns = int(record["stamp_ns"])
            self._velocity_rad_s = record["velocity_rad_s"].copy()

    def velocity_rad_s(self, now_ns: int) -> Float64Array | None:
        """The velocities that count now, in the robot's order of those joints, or None."""
        if abs(now_ns - self._stamp_ns) > DRIVE_NS:  # ahead of time: of another clock
            return None
        return self._velocity_rad_s

    def forget(self) -> None:
        """Velocities from before this moment count no more."""
        self._velocity_rad_s = None
