"""The ladder: what drives the arm, best rung first, and why it changed.

    full        the newest chunk, decoded from all its tokens
    prefix      the newest chunk, decoded from fewer tokens
    tail        the rest of a chunk whose successor did not come in time
    decelerate  nothing left to follow: slow down within limits
    hold        standing still on the last command
    ramp        moving to the start posture, from the measured position
    disengaged  no torque, no commands; where everything begins

Pure functions of the situation: the ladder reads no clock and moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Rung(IntEnum):
    """Rungs by quality; a larger number is a worse rung."""

    FULL = 0
    PREFIX = 1
    TAIL = 2
    DECELERATE = 3
    HOLD = 4
    RAMP = 5
    DISENGAGED = 6

    @property
    def label(self) -> str:
        """The rung's name as reports show it."""
        return self.name.lower()


class Mode(IntEnum):
    """What the operator asked for."""

    IDLE = 0
    HOME = 1
    POLICY = 2
    SHUTDOWN = 3


@dataclass(frozen=True, slots=True)
class Situation:
    """All that the choice of a rung depends on.

    ``stop``: why motion must end, or empty; ``has_reference``: the followed chunk still has
    actions; ``overdue``: its successor missed its deadline; ``full``: decoded from all its tokens.
    """

    mode: Mode
    engaged: bool
    at_rest: bool
    at_home: bool
    stop: str
    has_reference: bool
    overdue: bool
    full: bool


def choose(situation: Situation) -> tuple[Rung, str]:
    """The rung for a situation, and the reason for it."""
    if not situation.engaged:
        return Rung.DISENGAGED, "not engaged"
    if situation.stop:
        return _stopping(situation, situation.stop)
    if situation.mode is Mode.HOME and not situation.at_home:
        return Rung.RAMP, "moving to the start posture"
    if situation.mode is not Mode.POLICY:
        return _stopping(situation, "no policy asked for")
    if not situation.has_reference:
        return _stopping(situation, "no chunk to follow")
    if situation.overdue:
        return Rung.TAIL, "the next chunk is overdue"
    if situation.full:
        return Rung.FULL, "a chunk of all tokens"
    return Rung.PREFIX, "a chunk of fewer tokens"


def _stopping(situation: Situation, reason: str) -> tuple[Rung, str]:
    return (Rung.HOLD if situation.at_rest else Rung.DECELERATE), reason
