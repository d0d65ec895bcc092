"""From what was measured of one joint to its zero and its limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge.joint_calibration import CalibratedJoint
from firmware_bridge.messages import Float64Array

TRAVELLED_RAD = 0.2  # so far at least a joint moves from stop to stop
TURN_RAD = 2 * math.pi
FREE_RAD = TURN_RAD - 0.1  # a joint that travels so far has no stops


@dataclass(frozen=True, slots=True)
class Subject:
    """A joint to be measured: its servo, what is known of it, and its angle in the posture, rad."""

    name: str
    servo_id: int
    direction: int
    reference_rad: float


@dataclass(frozen=True, slots=True)
class Travel:
    """Motor angles of both stops, rad; ``wrapped``: the servo began to count anew in between."""

    low_rad: float
    high_rad: float
    wrapped: bool


def calibrated_joint(
    subject: Subject, direction: int, posture_rad: float, travel: Travel | None, margin_rad: float
) -> CalibratedJoint:
    """Zero from the motor angle in the posture; limits within the stops by the margin.

    Raises ValueError naming a joint that cannot be used as it is mounted.
    """
    zero_rad = subject.reference_rad - direction * posture_rad
    if not -math.pi <= zero_rad <= math.pi:
        raise ValueError(
            f"{subject.name}: its zero is {math.degrees(zero_rad):.0f}° from its servo's centre, "
            "allowed are 180°: the posture was another, or the horn sits wrongly"
        )
    low, high = _limits(subject.name, direction, zero_rad, travel, margin_rad)
    return CalibratedJoint(
        id=subject.servo_id,
        direction=1 if direction > 0 else -1,
        zero_rad=round(zero_rad, 6),
        min_position=low,
        max_position=high,
    )


def _limits(
    name: str, direction: int, zero_rad: float, travel: Travel | None, margin_rad: float
) -> tuple[float | None, float | None]:
    """Joint angles, rad; None where there are no stops, or nobody went to them."""
    if travel is None or travel.high_rad - travel.low_rad >= FREE_RAD:
        return None, None
    if travel.wrapped:
        raise ValueError(
            f"{name}: its servo wraps round within the travel: "
            "turn the horn so that the servo's centre lies inside"
        )
    ends = (direction * travel.low_rad + zero_rad, direction * travel.high_rad + zero_rad)
    low, high = min(ends) + margin_rad, max(ends) - margin_rad
    if low >= high:
        raise ValueError(f"{name}: twice the margin is wider than its travel")
    return round(low, 6), round(high, 6)


class Continuous:
    """Follows angles across the point where a servo counts anew; ``wrapped`` says which did."""

    def __init__(self, count: int) -> None:
        self.wrapped = np.zeros(count, dtype=np.bool_)
        self._turns = np.zeros(count)
        self._last: Float64Array | None = None

    def take(self, motor_rad: Float64Array) -> Float64Array:
        """The angles [rad] without the jumps of a turn, shape (joints,)."""
        if self._last is not None:
            jumped = np.round((motor_rad - self._last) / TURN_RAD)
            self._turns -= jumped
            self.wrapped |= jumped != 0
        self._last = motor_rad.copy()
        return np.asarray(motor_rad + self._turns * TURN_RAD)
