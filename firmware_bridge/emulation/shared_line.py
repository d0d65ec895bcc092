"""A serial line and a CAN bus that one loop serves: a robot whose parts hang on both."""

from __future__ import annotations

import select
import time
from pathlib import Path

from firmware_bridge.emulation.hosted_can import HostedCan
from firmware_bridge.emulation.paced_pty import NS_PER_S, PacedPty
from firmware_bridge.emulation.wire import WireDevice


class SharedPty(PacedPty):
    """A ``PacedPty`` beside which CAN buses are served, whenever it is and as soon as they need it.

    So an ``EmulatedRobot`` on this line serves them all, without knowing.
    """

    def __init__(self, baud: int, link: Path | None = None) -> None:
        super().__init__(baud, link)
        self.beside: list[HostedCan] = []

    def service(self, now_ns: int, device: WireDevice) -> None:
        """Serve the buses beside, then the line."""
        for can in self.beside:
            can.serve(now_ns)
        super().service(now_ns, device)

    def wait(self, until_ns: int) -> None:
        """Sleep until something comes on any of them, is due, or the monotonic time comes."""
        due_ns = [until_ns, *(can.next_due_ns() for can in self.beside)]
        own_ns = self.next_due_ns()
        wake_ns = min(due_ns) if own_ns is None else min(own_ns, *due_ns)
        timeout_s = (wake_ns - time.monotonic_ns()) / NS_PER_S
        if timeout_s <= 0:
            return
        descriptors = [self.fileno(), *(fd for can in self.beside for fd in can.filenos())]
        select.select(descriptors, (), (), timeout_s)

    def close(self) -> None:
        """Pull every cable."""
        super().close()
        for can in self.beside:
            can.close()
        self.beside.clear()
