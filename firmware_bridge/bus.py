"""The one interface between the servo loop and a bus of motors."""

from __future__ import annotations

from math import isfinite
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from firmware_bridge.messages import Float64Array, JointState, SafeSetpoint


@runtime_checkable
class JointBus(Protocol):
    """Joints behind one port; arrays have shape (joints,) in the order of the configuration."""

    def open(self) -> None:
        """Take the port and check every device; moves nothing and leaves torque as it is.

        Raises ``PortError``, ``BusTimeout`` or ``DeviceError``, and the port is closed again.
        """

    def read_state(self) -> JointState:
        """Read all joints at once.

        Raises ``BusTimeout`` naming the ids that stayed silent (a lost packet: the caller goes on
        with its last observation, aged), ``DeviceError`` when a device reports a fault.
        """

    def write_setpoints(self, setpoint: SafeSetpoint) -> None:
        """Send one target per joint, without waiting for an answer.

        Raises ``TypeError`` for anything that is not a ``SafeSetpoint``, ``ValueError`` for a wrong
        shape or a non-finite number, ``DeviceError`` when the devices stopped because this side had
        been silent (``enable`` starts again); nothing has been sent then.
        """

    def enable(self) -> None:
        """Set each goal to the measured position, then torque on, each device's answer verified."""

    def disable(self) -> None:
        """Torque off on every device: an arm without brakes falls."""

    def close(self) -> None:
        """Give the port back and leave torque as it is; closing twice does nothing."""


def checked_position_rad(setpoint: SafeSetpoint, joints: int) -> Float64Array:
    """Return a setpoint's targets [rad] if fit to be sent, else raise as ``JointBus`` says."""
    if type(setpoint) is not SafeSetpoint:
        raise TypeError(f"a bus takes SafeSetpoint only, not {type(setpoint).__name__}")
    position_rad = setpoint.position_rad
    if position_rad.shape != (joints,):
        raise ValueError(f"setpoint has shape {position_rad.shape}, the bus ({joints},)")
    if not all(map(isfinite, position_rad.tolist())):  # quicker than NumPy for a few joints
        raise ValueError(f"setpoint is not finite: {position_rad.tolist()}")
    return position_rad


def checked_targets(
    setpoint: SafeSetpoint, takes_velocity: npt.NDArray[np.bool_] | None, joints: int
) -> Float64Array:
    """As ``checked_position_rad``, with the velocity [rad/s] for joints that take velocities.

    ``takes_velocity`` has shape (joints,); None where no joint does.
    """
    position_rad = checked_position_rad(setpoint, joints)
    if takes_velocity is None:
        return position_rad
    velocity_rad_s = setpoint.velocity_rad_s
    if velocity_rad_s is None or velocity_rad_s.shape != (joints,):
        raise ValueError(f"setpoint has no velocities for the {joints} joints of the bus")
    if not np.isfinite(velocity_rad_s).all():
        raise ValueError(f"setpoint is not finite: {velocity_rad_s.tolist()}")
    return np.where(takes_velocity, velocity_rad_s, position_rad)
