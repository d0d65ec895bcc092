"""The control cycle in MIT mode: every command is answered by feedback."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.joint_bus import Measured
from firmware_bridge.damiao import codec
from firmware_bridge.damiao.codec import ENABLED, Feedback, MitCommand, Ranges
from firmware_bridge.errors import DeviceError
from firmware_bridge.joint_map import JointMap, JointScale
from firmware_bridge.messages import Float64Array

DEFAULT_RANGES = Ranges(12.5, 30.0, 10.0)  # DM-J4310
MA_PER_A = 1000.0


class DamiaoDialect:
    """``CanDialect`` of MIT mode; set-up fills in ``ranges`` and ``torque_per_ampere``.

    Currents are torque / torque constant, NaN where a motor does not tell its constant.
    """

    def __init__(
        self, joints: JointMap, master_offset: int, kp: Sequence[float], kd: Sequence[float]
    ) -> None:
        self._ids = joints.ids
        self._joint_by_master = {i + master_offset: j for j, i in enumerate(joints.ids)}
        self._gains = list(zip(kp, kd, strict=True))
        self._scale = JointScale(joints, 1.0)
        self.ranges = [DEFAULT_RANGES] * len(joints)
        self.torque_per_ampere = np.full(len(joints), math.nan)
        self._position = np.zeros(len(joints))
        self._velocity = np.zeros(len(joints))
        self._torque = np.zeros(len(joints))
        self.watched = False  # a motor that is not enabled is a fault

    def questions(self, joints: Sequence[int]) -> list[CanFrame]:
        """Refresh requests, which command nothing."""
        return [codec.refresh(self._ids[joint]) for joint in joints]

    def setpoints(self, position_rad: Float64Array) -> list[CanFrame]:
        """Hold these positions with the configured stiffness and damping."""
        positions = self._scale.position_units(position_rad).tolist()
        return [self.command(joint, position) for joint, position in enumerate(positions)]

    def command(self, joint: int, position: float) -> CanFrame:
        """Hold a motor angle [rad]."""
        kp, kd = self._gains[joint]
        command = MitCommand(position, 0.0, kp, kd, 0.0)
        return codec.mit_command(self._ids[joint], command, self.ranges[joint])

    def feedback(self, joint: int, frame: CanFrame) -> Feedback | None:
        """Feedback of a joint's motor, or None if the frame is something else."""
        if self._joint_by_master.get(frame.can_id) != joint or frame.extended or frame.remote:
            return None
        return codec.read_feedback(self._ids[joint], frame.data, self.ranges[joint])

    def accept(self, frame: CanFrame) -> int | None:
        """Take feedback in; a motor that stopped by itself raises ``DeviceError``."""
        joint = self._joint_by_master.get(frame.can_id)
        if joint is None:
            return None
        value = self.feedback(joint, frame)
        if value is None:
            return None
        if self.watched and value.state != ENABLED:
            reason = codec.describe_fault(value.state) if value.state else "disabled"
            raise DeviceError(f"motor {self._ids[joint]} reports: {reason}")
        self._position[joint] = value.position
        self._velocity[joint] = value.velocity
        self._torque[joint] = value.torque
        return joint

    def measured(self) -> Measured:
        """Positions, velocities and currents along the joints."""
        scale = self._scale
        return Measured(
            scale.position_rad(self._position),
            scale.velocity_rad_s(self._velocity),
            scale.along_joint(self._torque / self.torque_per_ampere) * MA_PER_A,
        )
