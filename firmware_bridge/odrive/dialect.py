"""The control cycle over CANSimple: ask for estimates, send input positions or velocities."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np

from firmware_bridge.can_bus.frame import CanFrame, standard_frames
from firmware_bridge.can_bus.joint_bus import Measured
from firmware_bridge.errors import DeviceError
from firmware_bridge.joint_map import JointMap, JointScale
from firmware_bridge.messages import Float64Array
from firmware_bridge.odrive import codec
from firmware_bridge.odrive.codec import AxisState, Command, Heartbeat
from firmware_bridge.odrive.errors import describe_axis_error

RAD_PER_TURN = 2.0 * math.pi
MA_PER_A = 1000.0
ESTIMATES, CURRENTS, HEARTBEAT = (
    int(Command.GET_ENCODER_ESTIMATES),
    int(Command.GET_IQ),
    int(Command.HEARTBEAT),
)  # plain: compared for each frame


class ODriveDialect:
    """``CanDialect`` of CANSimple.

    ``with_currents`` asks for the motor currents, too, which doubles the answers; without it they
    are NaN: not measured. ``firmware`` maps a node to its (major, minor), for the names of errors.
    """

    def __init__(self, joints: JointMap, with_currents: bool) -> None:
        self._nodes = joints.ids
        self._joint_by_node = {node: joint for joint, node in enumerate(joints.ids)}
        self._scale = JointScale(joints, RAD_PER_TURN)
        self._takes_velocity = joints.velocity_mask
        self._input_ids = [
            codec.frame_id(node, Command.SET_INPUT_VEL if takes_velocity else Command.SET_INPUT_POS)
            for node, takes_velocity in zip(joints.ids, joints.takes_velocity, strict=True)
        ]
        self._estimate_questions = [
            codec.ask(node, Command.GET_ENCODER_ESTIMATES) for node in joints.ids
        ]
        self._with_currents = with_currents
        self._inputs = np.zeros((len(joints), 2), "<f4")  # the second, feed-forward, stays 0
        self._payloads = struct.Struct("8s" * len(joints))
        self._estimates = [bytes(8)] * len(joints)  # turns and turns/s, as they came
        self._amperes = [math.nan] * len(joints)
        self._scaling = self._scale.rows(1.0, 1.0, MA_PER_A)
        self._half = [False] * len(joints)  # the estimates of a pair of answers have come
        self.firmware: dict[int, tuple[int, int]] = {}
        self.watched = False  # a node outside closed loop is a fault

    def questions(self, joints: Sequence[int]) -> list[CanFrame]:
        """Remote frames for the estimates and, if wanted, the currents."""
        frames = []
        for joint in joints:
            self._half[joint] = False
            frames.append(self._estimate_questions[joint])
            if self._with_currents:
                frames.append(codec.ask(self._nodes[joint], Command.GET_IQ))
        return frames

    def takes_velocity(self, node: int) -> bool:
        """Whether a node's axis is to run in velocity control."""
        mask = self._takes_velocity
        return mask is not None and bool(mask[self._joint_by_node[node]])

    def setpoints(self, targets: Float64Array) -> list[CanFrame]:
        """One input position or velocity each; both begin with a float, and no feed-forward."""
        self._inputs[:, 0] = self._in_turns(targets)
        return standard_frames(self._input_ids, self._payloads.unpack(self._inputs.tobytes()))

    def _in_turns(self, targets: Float64Array) -> Float64Array:
        turns = self._scale.position_units(targets)
        if self._takes_velocity is None:
            return turns
        return np.where(self._takes_velocity, self._scale.velocity_units(targets), turns)

    def accept(self, frame: CanFrame) -> int | None:
        """Take estimates and currents; a heartbeat with an error raises ``DeviceError``."""
        node, command = frame.can_id >> codec.NODE_SHIFT, frame.can_id & codec.COMMAND_MASK
        joint = self._joint_by_node.get(node)
        if joint is None or frame.extended or frame.remote:
            return None
        if command == HEARTBEAT:
            self._check_heartbeat(node, codec.read_heartbeat(frame.data))
            return None
        if command not in (ESTIMATES, CURRENTS):
            return None
        values = codec.read_pair(frame.data)
        if values is None or not math.isfinite(values[0] + values[1]):
            return None
        if command == ESTIMATES:
            self._estimates[joint] = frame.data
            self._half[joint] = True
            return None if self._with_currents else joint
        self._amperes[joint] = values[1]
        return joint if self._half[joint] else None

    def _check_heartbeat(self, node: int, beat: Heartbeat | None) -> None:
        if beat is None or not self.watched:
            return
        if beat.axis_error:
            names = describe_axis_error(beat.axis_error, self.firmware.get(node, (0, 6)))
            raise DeviceError(f"axis {node} reports: {names}")
        if beat.axis_state != AxisState.CLOSED_LOOP_CONTROL:
            raise DeviceError(f"axis {node} left closed loop control (state {beat.axis_state})")

    def measured(self) -> Measured:
        """Positions, velocities and currents along the joints."""
        return Measured.of_pairs(self._estimates, "<f4", self._amperes, self._scaling)
