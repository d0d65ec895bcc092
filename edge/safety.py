"""The safety filter: the one place that makes a ``SafeSetpoint``.

It tracks a reference within position, velocity, acceleration and jerk limits from tick to tick, and
can always stop: no command is made from which the joint could not brake before its position limit.
A joint that takes velocities has no such limit; its reference is a velocity, its position the
integral of what was commanded, and everything else is the same.
A reference that is not finite, or a filter that has no measured position to start from, gets a
``Stop``; nothing is sent in its place.

Two stages. The first pursues the reference within position, velocity and acceleration limits. The
second is the mean of its last N positions: a mean keeps those three bounds (they are convex), and
the jerk of it is at most 2a/(N·T), since accelerations N ticks apart differ by at most 2a (FIR
trajectory filters: Biagiotti and Melchiorri 2012). The price is a delay of (N − 1)/2 ticks, which
``delay_ns`` states so that the reference can be looked up ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.robot import Robot
from firmware_bridge.messages import Float64Array, SafeSetpoint


@dataclass(frozen=True, slots=True)
class Stop:
    """No setpoint, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of all joints, arrays of shape (joints,): rad, rad/s, rad/s², rad/s³.

    ``takes_velocity``, of that shape: which joints take velocities; None where none does.
    """

    lower_rad: Float64Array
    upper_rad: Float64Array
    velocity_rad_s: Float64Array
    acceleration_rad_s2: Float64Array
    jerk_rad_s3: Float64Array
    tracking_error_rad: Float64Array
    takes_velocity: npt.NDArray[np.bool_] | None = None

    @staticmethod
    def of(robot: Robot) -> Limits:
        """The limits of a robot, in the order of its joints."""
        limits = [robot.joint_limits[joint.name] for joint in robot.joints]
        errors = [joint.max_tracking_error_rad or np.inf for joint in robot.joints]
        turning = np.array([robot.takes_velocity(joint) for joint in robot.joints])
        return Limits(
            lower_rad=np.array([limit.lower_rad for limit in limits]),
            upper_rad=np.array([limit.upper_rad for limit in limits]),
            velocity_rad_s=np.array([limit.max_velocity for limit in limits]),
            acceleration_rad_s2=np.array([limit.max_acceleration for limit in limits]),
            jerk_rad_s3=np.array([limit.max_jerk for limit in limits]),
            tracking_error_rad=np.array(errors),
            takes_velocity=turning if turning.any() else None,
        )


class SafetyFilter:
    """Turns references into setpoints; holds the commanded position and velocity of every joint."""

    def __init__(self, names: tuple[str, ...], limits: Limits, period_s: float) -> None:
        self.limits = limits
        self.engaged = False
        self.position_rad = np.zeros(len(names))
        self._names = names
        self._period_s = period_s
        self._velocity_step = limits.acceleration_rad_s2 * period_s
        self._reference = np.zeros(len(names))
        self._pursuer_rad = np.zeros(len(names))
        self._velocity_rad_s = np.zeros(len(names))
        self._window = np.zeros((smoothing_ticks(limits, period_s), len(names)))
        self._ticks_at_rest = len(self._window)

    @property
    def velocity_rad_s(self) -> Float64Array:
        """The commanded velocity of every joint, shape (joints,), before smoothing."""
        return self._velocity_rad_s

    @property
    def delay_ns(self) -> int:
        """How far the setpoint lags behind a reference that it follows within all limits."""
        return round((len(self._window) - 1) / 2 * self._period_s * 1e9)

    def engage(self, measured_rad: Float64Array) -> Stop | None:
        """Start from the measured position, at rest. Refuses one that is not finite."""
        stop = self._refuse_non_finite("measured position", measured_rad)
        if stop is None:
            for state in (self.position_rad, self._pursuer_rad, self._reference, self._window):
                state[:] = measured_rad
            self._velocity_rad_s[:] = 0.0
            self._ticks_at_rest = len(self._window)
            self.engaged = True
        return stop

    def disengage(self) -> None:
        """Make no more setpoints until engaged anew."""
        self.engaged = False

    def track(self, reference_rad: Float64Array, stamp_ns: int) -> SafeSetpoint | Stop:
        """The setpoint nearest to following the reference, shape (joints,), within all limits.

        The reference is a position [rad], or a velocity [rad/s] for a joint that takes velocities.
        """
        stop = self._refuse(reference_rad)
        if stop is not None:
            return stop
        reference = np.clip(reference_rad, self.limits.lower_rad, self.limits.upper_rad)
        reference_velocity = (reference - self._reference) / self._period_s
        self._reference[:] = reference
        wanted = self._pursuit(reference, reference_velocity)
        if self.limits.takes_velocity is not None:
            wanted = np.where(self.limits.takes_velocity, reference, wanted)
        return self._advance(wanted, stamp_ns)

    def decelerate(self, stamp_ns: int) -> SafeSetpoint | Stop:
        """The setpoint that slows every joint as its acceleration limit allows; then it holds."""
        stop = self._refuse(self.position_rad)
        if stop is not None:
            return stop
        setpoint = self._advance(np.zeros_like(self._velocity_rad_s), stamp_ns)
        self._reference[:] = self._pursuer_rad
        return setpoint

    @property
    def at_rest(self) -> bool:
        """Whether the setpoint stands still on every joint."""
        return self._ticks_at_rest >= len(self._window)

    def check_tracking(self, measured_rad: Float64Array) -> Stop | None:
        """Stop where a joint is further from its command than its limit: blocked, or collided."""
        error = np.abs(measured_rad - self.position_rad)
        if (error <= self.limits.tracking_error_rad).all():
            return None
        worst = int(np.argmax(error - self.limits.tracking_error_rad))
        return Stop(
            f"{self._names[worst]} is {error[worst]:.3f} rad off its command, "
            f"allowed are {self.limits.tracking_error_rad[worst]:g}"
        )

    def _refuse(self, reference_rad: Float64Array) -> Stop | None:
        if not self.engaged:
            return Stop("the safety filter is not engaged")
        return self._refuse_non_finite("reference", reference_rad)

    def _refuse_non_finite(self, what: str, values: Float64Array) -> Stop | None:
        if np.isfinite(values).all():
            return None
        worst = int(np.argmin(np.isfinite(values)))
        return Stop(f"{what} of {self._names[worst]} is {values[worst]}")

    def _pursuit(self, reference: Float64Array, reference_velocity: Float64Array) -> Float64Array:
        """Velocity that meets the reference; approaching it no faster than can be braked."""
        error = reference - self._pursuer_rad - reference_velocity * self._period_s
        closing = np.sqrt(2.0 * self.limits.acceleration_rad_s2 * np.abs(error))
        return reference_velocity + np.clip(error / self._period_s, -closing, closing)

    def _advance(self, wanted: Float64Array, stamp_ns: int) -> SafeSetpoint:
        """One period at the wanted velocity as far as the limits allow.

        The acceleration limit is applied last, so it always holds. It never undoes the bound before
        it: a joint that could brake in front of its limit still can after one period of braking.
        """
        velocity = np.clip(wanted, -self._room(-1), self._room(+1))
        np.clip(velocity, -self.limits.velocity_rad_s, self.limits.velocity_rad_s, out=velocity)
        np.clip(
            velocity,
            self._velocity_rad_s - self._velocity_step,
            self._velocity_rad_s + self._velocity_step,
            out=velocity,
        )
        self._velocity_rad_s[:] = velocity
        self._pursuer_rad += velocity * self._period_s
        self._ticks_at_rest = 0 if velocity.any() else self._ticks_at_rest + 1
        return self._smooth(stamp_ns)

    def _smooth(self, stamp_ns: int) -> SafeSetpoint:
        """The mean of the window that now ends with the pursuer's position."""
        velocity_rad_s = None
        if self.limits.takes_velocity is not None:  # of the mean: it drops the oldest of all
            span_s = len(self._window) * self._period_s
            velocity_rad_s = (self._pursuer_rad - self._window[0]) / span_s
            velocity_rad_s.setflags(write=False)
        self._window[:-1] = self._window[1:]
        self._window[-1] = self._pursuer_rad
        self.position_rad[:] = self._pursuer_rad if self.at_rest else self._window.mean(axis=0)
        position_rad = self.position_rad.copy()
        position_rad.setflags(write=False)  # nobody makes it another one
        return SafeSetpoint(stamp_ns, position_rad, velocity_rad_s)

    def _room(self, direction: int) -> Float64Array:
        """Fastest velocity towards a limit from which the joint still stops in front of it.

        Solves v·T + v²/(2a) = d for v: one more period T at v, then braking at a, in distance d.
        """
        if direction > 0:
            distance = self.limits.upper_rad - self._pursuer_rad
        else:
            distance = self._pursuer_rad - self.limits.lower_rad
        acceleration, period = self.limits.acceleration_rad_s2, self._period_s
        room = acceleration * (
            np.sqrt(period**2 + 2.0 * np.maximum(distance, 0.0) / acceleration) - period
        )
        return np.where(distance > 0.0, room, 0.0)


def smoothing_ticks(limits: Limits, period_s: float) -> int:
    """Length N of the mean that keeps every joint's jerk within its limit: 2a/(N·T) ≤ j."""
    ticks = 2.0 * limits.acceleration_rad_s2 / (limits.jerk_rad_s3 * period_s)
    return max(1, int(np.ceil(ticks - 1e-9).max()))
