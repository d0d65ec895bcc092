"""The ladder: what drives the arm, best rung first, and why it changed.

    full        the newest chunk, decoded from all its tokens
    prefix      the newest chunk, decoded from fewer tokens
    tail        the rest of a chunk whose successor did not come in time
    decelerate  nothing left to follow: slow down within limits
    hold        standing still on the last command
    ramp        moving to the start posture, from rest
    drive       the base follows its operator's velocities, from rest; the arm keeps its place
    disengaged  no torque, no commands; where everything begins

A situation is classified as one event, and ``TABLE`` says where that event leads from each rung.
Motion starts from ``hold`` alone: whoever decelerates comes to rest first, and what was planned
before that counts no more. A robot is on one rung: to decelerate is to slow down every joint, to
hold is to keep arm joints in their place and base joints at no velocity. Pure functions; nothing
here reads a clock or moves anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Rung(IntEnum):
    """Up to ``HOLD`` by quality, a larger number being a worse rung; the others follow no policy.

    Numbers stand in logs: new rungs go to the end.
    """

    FULL = 0
    PREFIX = 1
    TAIL = 2
    DECELERATE = 3
    HOLD = 4
    RAMP = 5
    DISENGAGED = 6
    DRIVE = 7

    @property
    def label(self) -> str:
        """The rung's name as reports show it."""
        return self.name.lower()


class Event(IntEnum):
    """What a situation amounts to."""

    RELEASED = 0  # not engaged: no torque is ours
    NOTHING = 1  # no reference may be followed
    STANDSTILL = 2  # as NOTHING, and the arm has come to rest
    HOME = 3  # the start posture is asked for and not reached
    FULL = 4  # a chunk of all tokens is followed
    PREFIX = 5  # a chunk of fewer tokens is followed
    OVERDUE = 6  # a chunk is followed whose successor missed its deadline
    DRIVE = 7  # the base's velocities are there, and fresh


class Mode(IntEnum):
    """What the operator asked for."""

    IDLE = 0
    HOME = 1
    POLICY = 2
    SHUTDOWN = 3
    DRIVE = 4


MOVING = (Mode.HOME, Mode.POLICY, Mode.DRIVE)  # those that ask for motion

NOT_ENGAGED = "not engaged"  # the reason where nothing but that keeps the arm from moving
NO_CHUNK = "no chunk to follow"  # the reason where only the planner is waited for
NO_DRIVE = "no fresh velocities for the base"  # the reason where only its operator is waited for
GAVE_UP = "gave up engaging"  # begins the reason where enabled joints could not be started from

_D, _H = Rung.DECELERATE, Rung.HOLD
_FOLLOWING = (Rung.DISENGAGED, _D, _H, _D, Rung.FULL, Rung.PREFIX, Rung.TAIL, _D)

# One row a rung, one column an event, in the order of ``Event``.
TABLE: dict[Rung, tuple[Rung, ...]] = {
    Rung.FULL: _FOLLOWING,
    Rung.PREFIX: _FOLLOWING,
    Rung.TAIL: _FOLLOWING,
    Rung.DECELERATE: (Rung.DISENGAGED, _D, _H, _D, _D, _D, _D, _D),
    Rung.HOLD: (Rung.DISENGAGED, _H, _H, Rung.RAMP, Rung.FULL, Rung.PREFIX, _H, Rung.DRIVE),
    Rung.RAMP: (Rung.DISENGAGED, _D, _H, Rung.RAMP, _D, _D, _D, _D),
    Rung.DISENGAGED: (Rung.DISENGAGED, _H, _H, _H, _H, _H, _H, _H),
    Rung.DRIVE: (Rung.DISENGAGED, _D, _H, _D, _D, _D, _D, Rung.DRIVE),
}


@dataclass(frozen=True, slots=True)
class Situation:
    """All that the choice of a rung depends on.

    ``stop``: why motion must end, or empty; ``has_reference``: the followed chunk still has
    actions; ``overdue``: its successor missed its deadline; ``full``: decoded from all its tokens;
    ``has_drive``: fresh velocities for the base are there.
    """

    mode: Mode
    engaged: bool
    at_rest: bool
    at_home: bool
    stop: str
    has_reference: bool
    overdue: bool
    full: bool
    has_drive: bool = False


def climb(rung: Rung, situation: Situation) -> tuple[Rung, str]:
    """The rung after ``rung`` in a situation, and the reason for it."""
    event, reason = classify(rung, situation)
    return TABLE[rung][event], reason


def classify(rung: Rung, situation: Situation) -> tuple[Event, str]:
    """The event that a situation amounts to, and its reason in words."""
    if not situation.engaged:
        return Event.RELEASED, situation.stop or NOT_ENGAGED
    if situation.stop:
        return _nothing(situation), situation.stop
    if rung is Rung.DECELERATE:
        return _nothing(situation), "coming to rest"
    if situation.mode is Mode.HOME and not situation.at_home:
        return Event.HOME, "moving to the start posture"
    if situation.mode is Mode.DRIVE:
        return (Event.DRIVE, "driving") if situation.has_drive else (_nothing(situation), NO_DRIVE)
    if situation.mode is not Mode.POLICY:
        return _nothing(situation), "no policy asked for"
    if not situation.has_reference:
        return _nothing(situation), NO_CHUNK
    if situation.overdue:
        return Event.OVERDUE, "the next chunk is overdue"
    if situation.full:
        return Event.FULL, "a chunk of all tokens"
    return Event.PREFIX, "a chunk of fewer tokens"


def _nothing(situation: Situation) -> Event:
    return Event.STANDSTILL if situation.at_rest else Event.NOTHING
