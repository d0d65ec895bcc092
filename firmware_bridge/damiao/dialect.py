"""The control cycle in MIT mode: every command is answered by feedback."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np

from firmware_bridge.can_bus.frame import CanFrame, standard_frames
from firmware_bridge.can_bus.joint_bus import Measured
from firmware_bridge.damiao import codec
from firmware_bridge.damiao.codec import ENABLED, Feedback, MitCommand, Ranges
from firmware_bridge.errors import DeviceError
from firmware_bridge.joint_map import JointMap, JointScale
from firmware_bridge.messages import Float64Array

DEFAULT_RANGES = Ranges(12.5, 30.0, 10.0)  # DM-J4310
MA_PER_A = 1000.0
MAX_POSITION_CODE = 0xFFFF
_MIDDLE = bytes((0, 0x80, 0, 0x80, 0x08, 0, 0, 0))  # feedback of zeros
_COMMAND = np.dtype([("position", ">u2"), ("rest", "V6")])
_MAX_CODES = np.array((MAX_POSITION_CODE, 0xFFF, 0xFFF), dtype=np.float64)


class DamiaoDialect:
    """``CanDialect`` of MIT mode; set-up gives each motor's ranges and torque constant [Nm/A].

    Currents are torque / torque constant, NaN where a motor does not tell its constant.
    """

    def __init__(
        self, joints: JointMap, master_offset: int, kp: Sequence[float], kd: Sequence[float]
    ) -> None:
        self._ids = joints.ids
        self._joint_by_master = {i + master_offset: j for j, i in enumerate(joints.ids)}
        self._gains = list(zip(kp, kd, strict=True))
        self._scale = JointScale(joints, 1.0)
        self._commands = np.zeros(len(joints), _COMMAND)
        self._goal_codes = self._commands["position"]
        self._payloads = struct.Struct("8s" * len(joints))
        self.set_motors([DEFAULT_RANGES] * len(joints), [math.nan] * len(joints))
        self._layout = struct.Struct(">" + "xHHB2x" * len(joints))
        self._feedback = [_MIDDLE] * len(joints)
        self.watched = False  # a motor that is not enabled is a fault

    def set_motors(self, ranges: Sequence[Ranges], torque_per_ampere: Sequence[float]) -> None:
        """Take over what full scale means for each motor, and its constant (NaN: not known)."""
        self.ranges = list(ranges)
        full_scale = np.array(self.ranges)  # (joints, 3)
        self._set_measures(full_scale, np.array(torque_per_ampere))
        codes = MAX_POSITION_CODE / (2.0 * full_scale[:, 0])
        at_zero = self._scale.position_units(np.zeros(len(ranges)))
        at_one = self._scale.position_units(np.ones(len(ranges)))
        self._codes_per_rad = (at_one - at_zero) * codes
        self._code_at_zero = (at_zero + full_scale[:, 0]) * codes
        for joint in range(len(self.ranges)):  # a cycle changes the positions only
            command = np.frombuffer(self.command(joint, 0.0).data, _COMMAND)
            self._commands[joint : joint + 1] = command

    def _set_measures(self, full_scale: Float64Array, torque_per_ampere: Float64Array) -> None:
        """What one code, and what the lowest code, of each measure means along its joint."""
        scale = self._scale
        per_code, lowest = (2.0 * full_scale / _MAX_CODES).T, -full_scale.T  # (3, joints)
        nothing = np.zeros(len(full_scale))
        at_zero = scale.position_rad(nothing)
        per_ampere = scale.along_joint(MA_PER_A / torque_per_ampere)
        steps = (scale.position_rad(per_code[0]) - at_zero, scale.velocity_rad_s(per_code[1]))
        self._per_code = np.array((*steps, per_code[2] * per_ampere))
        lows = (scale.position_rad(lowest[0]), scale.velocity_rad_s(lowest[1]))
        self._at_code_zero = np.array((*lows, lowest[2] * per_ampere))

    def questions(self, joints: Sequence[int]) -> list[CanFrame]:
        """Refresh requests, which command nothing."""
        return [codec.refresh(self._ids[joint]) for joint in joints]

    def setpoints(self, position_rad: Float64Array) -> list[CanFrame]:
        """Hold these positions with the configured stiffness and damping."""
        codes = np.rint(position_rad * self._codes_per_rad + self._code_at_zero)
        self._goal_codes[:] = np.minimum(np.maximum(codes, 0.0), MAX_POSITION_CODE)
        return standard_frames(self._ids, self._payloads.unpack(self._commands.tobytes()))

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
        data = frame.data
        if frame.extended or frame.remote or not codec.is_feedback(self._ids[joint], data):
            return None
        state = data[0] >> 4
        if self.watched and state != ENABLED:
            reason = codec.describe_fault(state) if state else "disabled"
            raise DeviceError(f"motor {self._ids[joint]} reports: {reason}")
        self._feedback[joint] = data
        return joint

    def measured(self) -> Measured:
        """Positions, velocities and currents along the joints."""
        values = self._layout.unpack(b"".join(self._feedback))
        middles = values[1::3]  # velocity, and the upper bits of torque
        codes = [
            *values[::3],
            *[middle >> 4 for middle in middles],
            *[(middle & 0xF) << 8 | low for middle, low in zip(middles, values[2::3], strict=True)],
        ]  # an array of flat numbers is made faster
        scaled = np.array(codes, dtype=np.float64).reshape(3, -1)
        scaled *= self._per_code
        scaled += self._at_code_zero
        return Measured(*scaled)
