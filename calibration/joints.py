"""Measuring joints by hand: a person moves the limp arm, and three steps say where its joints are.

1. posture: the arm stands in a known posture, which gives the zeros;
2. direction: each joint is moved in its positive sense;
3. travel: every joint is moved from stop to stop.

All angles that are fed in are motor angles: those that a bus reports whose joints have direction 1
and zero 0. joint angle = direction · motor angle + zero.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from calibration.joint_travel import TRAVELLED_RAD, Continuous, Subject, Travel, calibrated_joint
from edge.joint_calibration import JointCalibration
from firmware_bridge.messages import Float64Array

STILL_RAD = 0.01  # a joint that moves less than this over the window stands still
STILL_READINGS = 10
MOVED_RAD = 0.15  # so far a joint moves before its direction counts


class Step(Enum):
    """What the person is asked for."""

    POSTURE = "posture"
    DIRECTION = "direction"
    TRAVEL = "travel"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Row:
    """What a joint's line in the table shows; angles in rad, NaN for what is not known yet.

    ``joint_rad``, ``low_rad`` and ``high_rad`` are joint angles from the direction and the posture
    so far, ``moved_rad`` is counted from the beginning of the step.
    """

    name: str
    motor_rad: float
    joint_rad: float
    moved_rad: float
    direction: int
    low_rad: float
    high_rad: float
    awaited: bool


class JointMeasurement:
    """The steps, one after the other. ``feed`` readings; ``confirm`` what a step asked for.

    ``notice`` says why a step that was confirmed is not done yet; empty if nothing is amiss.
    """

    def __init__(self, subjects: Sequence[Subject], margin_rad: float) -> None:
        count = len(subjects)
        self.step = Step.POSTURE
        self.notice = ""
        self._subjects = list(subjects)
        self._margin_rad = margin_rad
        self._window: deque[Float64Array] = deque(maxlen=STILL_READINGS)
        self._continuous = Continuous(count)
        self._posture_rad = np.full(count, np.nan)
        self._posture_wanted = False
        self._directions = np.array([subject.direction for subject in subjects])
        self._current = 0
        self._start_rad = np.full(count, np.nan)
        self._low_rad = np.full(count, np.inf)
        self._high_rad = np.full(count, -np.inf)

    @property
    def prompt(self) -> str:
        """What the person is to do now, one line."""
        if self.step is Step.POSTURE:
            return "Put the arm in its reference posture and hold it still, then Enter."
        if self.step is Step.DIRECTION:
            name = self._subjects[self._current].name
            degrees = math.ceil(math.degrees(MOVED_RAD))
            return f"Move {name} in its positive direction by {degrees}° or more, then Enter."
        if self.step is Step.TRAVEL:
            return "Move every joint slowly from one stop to the other, then Enter."
        return "All joints are measured."

    def feed(self, motor_rad: Float64Array) -> None:
        """Take one reading, shape (joints,)."""
        in_posture = self.step is Step.POSTURE  # which is to say what the servos count there
        angle = motor_rad.copy() if in_posture else self._continuous.take(motor_rad)
        self._window.append(angle)
        if np.isnan(self._start_rad).any():
            self._start_rad = angle.copy()
        if self.step is Step.TRAVEL:
            self._low_rad = np.minimum(self._low_rad, angle)
            self._high_rad = np.maximum(self._high_rad, angle)
        if self._posture_wanted:
            self._take_posture()

    def confirm(self) -> None:
        """The person says that it is done."""
        self.notice = ""
        if self.step is Step.POSTURE:
            self._posture_wanted = True
            self._take_posture()
        elif self.step is Step.DIRECTION:
            self._take_direction()
        elif self.step is Step.TRAVEL:
            idle = self._names(~self._travelled())
            self.notice = f"not moved from stop to stop yet: {', '.join(idle)}" if idle else ""
            if not idle:
                self.step = Step.DONE

    def skip(self) -> None:
        """Keep the direction that was known, or leave the travel of unmoved joints unmeasured."""
        self.notice = ""
        if self.step is Step.POSTURE:
            self.notice = "the posture cannot be skipped: without it there are no zeros"
        elif self.step is Step.DIRECTION:
            self._next_joint()
        elif self.step is Step.TRAVEL:
            self.step = Step.DONE

    def rows(self) -> list[Row]:
        """The table, in joint order; empty before the first reading."""
        if not self._window:
            return []
        angle, zero = self._window[-1], self._zero_rad()
        ends = [self._directions * end + zero for end in (self._low_rad, self._high_rad)]
        return [
            Row(
                name=subject.name,
                motor_rad=float(angle[i]),
                joint_rad=float(self._directions[i] * angle[i] + zero[i]),
                moved_rad=float(angle[i] - self._start_rad[i]),
                direction=int(self._directions[i]),
                low_rad=float(np.minimum(ends[0], ends[1])[i]),
                high_rad=float(np.maximum(ends[0], ends[1])[i]),
                awaited=self._awaited(i),
            )
            for i, subject in enumerate(self._subjects)
        ]

    def result(self, robot: str, source: str) -> JointCalibration:
        """The finished calibration. Raises ValueError naming a joint that cannot be used so."""
        joints = {
            subject.name: calibrated_joint(
                subject,
                direction=int(self._directions[i]),
                posture_rad=float(self._posture_rad[i]),
                travel=self._travel(i),
                margin_rad=self._margin_rad,
            )
            for i, subject in enumerate(self._subjects)
        }
        return JointCalibration(robot=robot, source=source, joints=joints)

    def _travel(self, i: int) -> Travel | None:
        if not self._travelled()[i]:
            return None
        low, high = float(self._low_rad[i]), float(self._high_rad[i])
        return Travel(low, high, bool(self._continuous.wrapped[i]))

    def _take_posture(self) -> None:
        window = np.array(self._window)
        if len(window) < STILL_READINGS:
            self.notice = "hold still"
            return
        moving = np.ptp(window, axis=0) > STILL_RAD
        if moving.any():
            self.notice = f"hold still: {', '.join(self._names(moving))} moves"
            return
        self._posture_rad = window.mean(axis=0)
        self._posture_wanted = False
        self.notice = ""
        self._begin(Step.DIRECTION)

    def _take_direction(self) -> None:
        i = self._current
        moved = float(self._window[-1][i] - self._start_rad[i])
        if abs(moved) < MOVED_RAD:
            name = self._subjects[i].name
            self.notice = f"{name} moved by {math.degrees(moved):.0f}° only"
            return
        self._directions[i] = 1 if moved > 0 else -1
        self._next_joint()

    def _next_joint(self) -> None:
        self._current += 1
        self._begin(Step.DIRECTION if self._current < len(self._subjects) else Step.TRAVEL)

    def _begin(self, step: Step) -> None:
        self.step = step
        self._start_rad = self._window[-1].copy()

    def _travelled(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self._high_rad - self._low_rad >= TRAVELLED_RAD)

    def _names(self, which: npt.NDArray[np.bool_]) -> list[str]:
        return [s.name for s, wanted in zip(self._subjects, which.tolist(), strict=True) if wanted]

    def _awaited(self, i: int) -> bool:
        if self.step is Step.DIRECTION:
            return i == self._current
        return self.step is Step.TRAVEL and not bool(self._travelled()[i])

    def _zero_rad(self) -> Float64Array:
        reference = np.array([subject.reference_rad for subject in self._subjects])
        return np.asarray(reference - self._directions * self._posture_rad)
