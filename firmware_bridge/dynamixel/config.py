"""What a Dynamixel joint bus needs to know about its servos."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from firmware_bridge.dynamixel.codec import MAX_ID
from firmware_bridge.dynamixel.units import WATCHDOG_UNIT_MS

MAX_WATCHDOG_MS = 127 * WATCHDOG_UNIT_MS


@dataclass(frozen=True, slots=True)
class DynamixelConfig:
    """One entry per joint, in joint order; raises ``ValueError`` that names the bad key.

    ``shadows`` maps a leader's id to the ids of servos that move with it: their secondary id is the
    leader's, so they obey its writes and never answer them. ``zero_offsets_rad`` is each joint's
    angle at its servo's centre (2048 ticks). ``watchdog_ms`` of silence stop the servos (0: never).
    ``reply_slack_us`` is waited beyond the wire time; ``read_budget_us`` bounds a whole
    ``read_state``, its one retry included.
    """

    ids: tuple[int, ...]
    directions: tuple[int, ...] = ()
    zero_offsets_rad: tuple[float, ...] = ()
    shadows: dict[int, tuple[int, ...]] = field(default_factory=dict)
    baud: int = 1_000_000
    fast_sync: bool = True
    watchdog_ms: int = 100
    reply_slack_us: int = 1500
    read_budget_us: int = 4500

    def __post_init__(self) -> None:
        joints = len(self.ids)
        object.__setattr__(self, "directions", tuple(self.directions) or (1,) * joints)
        object.__setattr__(
            self, "zero_offsets_rad", tuple(self.zero_offsets_rad) or (0.0,) * joints
        )
        self._check_ids()
        _check(len(self.directions) == joints, "directions", self.directions, f"{joints} entries")
        _check(set(self.directions) <= {1, -1}, "directions", self.directions, "1 or -1")
        offsets = self.zero_offsets_rad
        _check(len(offsets) == joints, "zero_offsets_rad", offsets, f"{joints} entries")
        _check(all(map(math.isfinite, offsets)), "zero_offsets_rad", offsets, "finite numbers")
        _check(self.baud > 0, "baud", self.baud, "above 0")
        allowed = f"0 to {MAX_WATCHDOG_MS}"
        _check(0 <= self.watchdog_ms <= MAX_WATCHDOG_MS, "watchdog_ms", self.watchdog_ms, allowed)
        _check(self.reply_slack_us > 0, "reply_slack_us", self.reply_slack_us, "above 0")
        _check(self.read_budget_us > 0, "read_budget_us", self.read_budget_us, "above 0")

    def _check_ids(self) -> None:
        _check(len(self.ids) > 0, "ids", self.ids, "at least one servo")
        leaders = set(self.shadows) <= set(self.ids)
        _check(leaders, "shadows", self.shadows, "keys out of ids")
        every = self.all_ids
        _check(all(0 <= i <= MAX_ID for i in every), "ids", every, f"0 to {MAX_ID}")
        _check(len(set(every)) == len(every), "ids", every, "each id once")

    @property
    def shadow_ids(self) -> tuple[int, ...]:
        """Ids of all servos that follow a leader."""
        return tuple(i for followers in self.shadows.values() for i in followers)

    @property
    def all_ids(self) -> tuple[int, ...]:
        """Ids of all servos on the bus."""
        return (*self.ids, *self.shadow_ids)


def _check(holds: bool, key: str, value: object, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{key}: {value} is not allowed (allowed: {allowed})")
