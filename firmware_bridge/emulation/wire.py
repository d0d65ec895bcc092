"""What an emulated device and the line in front of it say to each other."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Reply(NamedTuple):
    """Bytes that a device sends ``delay_ns`` after the line became free."""

    delay_ns: int
    data: bytes


class WireDevice(Protocol):
    """A device (or a chain of them) behind a line."""

    def receive(self, data: bytes, now_ns: int) -> list[Reply]:
        """Take bytes that arrive at ``now_ns``, which may be ahead by as long as they take.

        Returns what the device answers.
        """
