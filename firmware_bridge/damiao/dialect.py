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
MAX_POSITION_CODE = 0xFFFF
_MAX_CODES = np.array((MAX_POSITION_CODE, 0xFFF, 0xFFF), dtype=np.float64)


class DamiaoDialect:
    """``CanDialect`` of MIT mode; set-up gives the ranges and ``torque_per_ampere``.

    Currents are torque / torque constant, NaN where a motor does not tell its constant.
    """

    def __init__(
        self, joints: JointMap, master_offset: int, kp: Sequence[float], kd: Sequence[float]
    ) -> None:
        self._ids = joints.ids
        self._joint_by_master = {i + master_offset: j for j, i in enumerate(joints.ids)}
        self._gains = list(zip(kp, kd, strict=True))
        self._scale = JointScale(joints, 1.0)
        self.set_ranges([DEFAULT_RANGES] * len(joints))
        self.torque_per_ampere = np.full(len(joints), math.nan)
        middle = codec.RawFeedback(0, 0x8000, 0x800, 0x800)
        self._raw = [middle] * len(joints)
        self.watched = False  # a motor that is not enabled is a fault

    def set_ranges(self, ranges: Sequence[Ranges]) -> None:
        """Take over what full scale means for each motor."""
        self.ranges = list(ranges)
        full_scale = np.array(self.ranges)  # (joints, 3)
        codes = MAX_POSITION_CODE / (2.0 * full_scale[:, 0])
        at_zero = self._scale.position_units(np.zeros(len(ranges)))
        at_one = self._scale.position_units(np.ones(len(ranges)))
        self._codes_per_rad = (at_one - at_zero) * codes
        self._code_at_zero = (at_zero + full_scale[:, 0]) * codes
        self._per_code = 2.0 * full_scale / _MAX_CODES
        self._at_code_zero = -full_scale
        self._packed_gains = [
            int.from_bytes(
                codec.mit_command(0, MitCommand(0.0, 0.0, kp, kd, 0.0), one).data[2:], "big"
            )
            for (kp, kd), one in zip(self._gains, self.ranges, strict=True)
        ]

    def questions(self, joints: Sequence[int]) -> list[CanFrame]:
        """Refresh requests, which command nothing."""
        return [codec.refresh(self._ids[joint]) for joint in joints]

    def setpoints(self, position_rad: Float64Array) -> list[CanFrame]:
        """Hold these positions with the configured stiffness and damping."""
        codes = np.rint(position_rad * self._codes_per_rad + self._code_at_zero)
        clipped = np.minimum(np.maximum(codes, 0.0), MAX_POSITION_CODE)
        return [
            CanFrame(motor_id, (int(code) << 48 | gains).to_bytes(8, "big"))
            for motor_id, code, gains in zip(
                self._ids, clipped.tolist(), self._packed_gains, strict=True
            )
        ]

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
        value = codec.read_raw_feedback(self._ids[joint], frame.data)
        if value is None or frame.extended or frame.remote:
            return None
        if self.watched and value.state != ENABLED:
            reason = codec.describe_fault(value.state) if value.state else "disabled"
            raise DeviceError(f"motor {self._ids[joint]} reports: {reason}")
        self._raw[joint] = value
        return joint

    def measured(self) -> Measured:
        """Positions, velocities and currents along the joints."""
        scale = self._scale
        flat = [
            code for raw in self._raw for code in raw
        ]  # an array of flat numbers is made faster
        codes = np.array(flat, dtype=np.float64).reshape(-1, 4)[:, 1:]
        position, velocity, torque = (codes * self._per_code + self._at_code_zero).T
        return Measured(
            scale.position_rad(position),
            scale.velocity_rad_s(velocity),
            scale.along_joint(torque / self.torque_per_ampere) * MA_PER_A,
        )
