"""Faults that a simulated bus can be told to have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from firmware_bridge.can_bus.frame import MAX_EXTENDED_ID, CanFrame

MAX_COUNT = 1_000_000
MAX_DOMINANT_US = 10_000_000


@dataclass(slots=True)
class Faults:
    """What goes wrong next; every count runs down to 0.

    ``corrupt``: frames that a disturbance hits for all nodes (error frame, sent again).
    ``corrupt_at`` with ``corrupt_node``: frames that only this node sees broken.
    ``drop``: frames that are acknowledged and then lost by all receivers, as by a full receive
    buffer; only those of ``drop_id`` if it is not None. ``dominant_us``: hold the bus dominant for
    so long, from now. ``babble_id``: a node that sends this standard id without pause; −1: none.
    """

    corrupt: int = 0
    corrupt_at: int = 0
    corrupt_node: int = 0
    drop: int = 0
    drop_id: int | None = None
    dominant_us: int = 0
    babble_id: int = -1

    def update(self, changes: Mapping[str, object]) -> None:
        """Set fields by name; raises ``ValueError`` naming a key or value that cannot be."""
        for key, value in changes.items():
            if key not in self.__slots__:
                raise ValueError(f"fault {key!r} is not known (known: {', '.join(self.__slots__)})")
            if key == "drop_id" and value is None:
                self.drop_id = None
                continue
            low, high = _RANGES.get(key, (0, MAX_COUNT))
            if not isinstance(value, int) or not low <= value <= high:
                raise ValueError(
                    f"fault {key}: {value!r} is not allowed (allowed: {low} to {high})"
                )
            setattr(self, key, value)

    def takes_corrupt(self) -> bool:
        """Use up one disturbance for all, if there is one."""
        if self.corrupt <= 0:
            return False
        self.corrupt -= 1
        return True

    def takes_corrupt_at(self) -> int | None:
        """Use up one local disturbance; returns the node that has it."""
        if self.corrupt_at <= 0:
            return None
        self.corrupt_at -= 1
        return self.corrupt_node

    def takes_drop(self, frame: CanFrame) -> bool:
        """Use up one loss if it is meant for this frame."""
        if self.drop <= 0 or self.drop_id not in (None, frame.can_id):
            return False
        self.drop -= 1
        return True


_RANGES = {
    "drop_id": (0, MAX_EXTENDED_ID),
    "dominant_us": (0, MAX_DOMINANT_US),
    "babble_id": (-1, 0x7FF),
}
