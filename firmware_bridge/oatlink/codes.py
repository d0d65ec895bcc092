"""Numbers with names in oatlink messages (docs/oatlink.md, sections 4, 5 and 7)."""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """The controller's state."""

    DISARMED = 0
    ARMED = 1
    HOLDING = 2
    LATCHED = 3


class LatchReason(IntEnum):
    """Why the controller latched."""

    NONE = 0
    SILENCE = 1
    MOTOR_LOST = 2
    MOTOR_FAULT = 3
    ESTOP = 4
    MOTOR_LIMP = 5


class RejectReason(IntEnum):
    """Why a SETPOINTS was refused."""

    NONE = 0
    NOT_ARMED = 1
    SEQUENCE = 2
    STALE = 3
    FUTURE = 4
    SHAPE = 5
    ORDER = 6
    LATE = 7
    HORIZON = 8
    POSITION = 9
    STEP = 10
    VELOCITY = 11
    FULL = 12


class Result(IntEnum):
    """Result of a request."""

    DONE = 0
    IN_PROGRESS = 1
    WRONG_STATE = 2
    BAD_VALUE = 3
    CONFIG_DIFFERS = 4
    UNSUPPORTED = 5
    MOTOR_SILENT = 6
    MOTOR_REFUSES = 7
    BUSY = 8
