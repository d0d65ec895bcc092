"""Ways for bytes to reach a bus."""

from __future__ import annotations

from typing import Protocol


class Transport(Protocol):
    """A byte stream to one bus. Every method but ``close`` raises ``PortError`` naming the port."""

    def open(self) -> None:
        """Take the port for this process alone."""

    def write(self, data: bytes) -> None:
        """Hand all bytes over at once; never blocks."""

    def read(self, minimum: int, deadline_ns: int) -> bytes:
        """Return once ``minimum`` bytes are there, or what there is at the monotonic deadline."""

    def flush_input(self) -> None:
        """Throw away everything received and not yet read."""

    def close(self) -> None:
        """Give the port back; closing a closed port does nothing."""
