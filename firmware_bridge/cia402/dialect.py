"""The control cycle in CSP: targets in RPDOs, then SYNC, which all drives answer with a TPDO.

TPDO1 brings position and velocity with every SYNC, TPDO2 the statusword whenever it changes. The
host's own heartbeat travels with the cycle, so drives notice when the cycle stops.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Sequence

import numpy as np

from firmware_bridge.can_bus.frame import CanFrame, standard_frames
from firmware_bridge.can_bus.joint_bus import Measured
from firmware_bridge.cia402.objects import (
    EMERGENCY,
    EMERGENCY_BASE,
    HEARTBEAT_BASE,
    MOTION,
    RPDO1_BASE,
    STATUS,
    SYNC_ID,
    TPDO1_BASE,
    TPDO2_BASE,
    Controlword,
    DriveState,
    drive_state,
)
from firmware_bridge.errors import DeviceError
from firmware_bridge.joint_map import JointMap, JointScale
from firmware_bridge.messages import Float64Array

INT32_LIMIT = 2**31 - 1
OPERATIONAL = bytes((0x05,))
BOOT_UP = b"\0"  # in place of a state in a heartbeat: it has just started
NS_PER_MS = 1_000_000
SYNC = CanFrame(SYNC_ID)
_COMMAND = np.dtype([("word", "<u2"), ("target", "<i4")])  # objects.COMMAND of all drives


class Cia402Dialect:
    """``CanDialect`` of CSP. Currents are NaN: not measured."""

    def __init__(self, joints: JointMap, host_id: int, heartbeat_ms: int) -> None:
        self._ids = joints.ids
        self._scale = JointScale(joints, 2.0 * math.pi)
        self._counts: Float64Array = np.ones(len(joints))
        self._by_motion = {TPDO1_BASE + node: joint for joint, node in enumerate(joints.ids)}
        self._node_by_status = {TPDO2_BASE + node: node for node in joints.ids}
        self._node_by_emergency = {EMERGENCY_BASE + node: node for node in joints.ids}
        self._node_by_heartbeat = {HEARTBEAT_BASE + node: node for node in joints.ids}
        self._motion = [bytes(MOTION.size)] * len(joints)  # as it came
        self._command_ids = [RPDO1_BASE + node for node in joints.ids]
        self._commands = np.zeros(len(joints), _COMMAND)
        self._commands["word"] = Controlword.ENABLE_OPERATION
        self._targets = self._commands["target"]
        self._payloads = struct.Struct(f"{_COMMAND.itemsize}s" * len(joints))
        self._scaling = self._scale.rows(1.0, 1.0, math.nan)
        self._heartbeat = CanFrame(HEARTBEAT_BASE + host_id, OPERATIONAL)
        self._heartbeat_ns = heartbeat_ms * NS_PER_MS
        self._next_heartbeat_ns = 0
        self.started_anew: set[int] = set()  # drives that have lost their PDOs by that
        self.watched = False  # a drive that leaves "operation enabled" is a fault

    def set_counts_per_turn(self, counts_per_turn: dict[int, int]) -> None:
        """Take over what set-up read from the drives, by node."""
        self._counts = np.array([counts_per_turn[node] for node in self._ids], dtype=np.float64)
        self._scaling = self._scale.rows(1.0 / self._counts, 1.0 / self._counts, math.nan)

    def questions(self, joints: Sequence[int]) -> list[CanFrame]:
        """One SYNC: all drives answer, whoever was asked for."""
        del joints
        return [*self.heartbeat(), SYNC]

    def heartbeat(self) -> list[CanFrame]:
        """The host's heartbeat, when it is due."""
        now_ns = time.monotonic_ns()
        if not self._heartbeat_ns or now_ns < self._next_heartbeat_ns:
            return []
        self._next_heartbeat_ns = now_ns + self._heartbeat_ns
        return [self._heartbeat]

    def setpoints(self, position_rad: Float64Array) -> list[CanFrame]:
        """Targets, applied by all drives at the SYNC behind them."""
        counts = np.rint(self._scale.position_units(position_rad) * self._counts)
        self._targets[:] = np.minimum(np.maximum(counts, -INT32_LIMIT), INT32_LIMIT)
        payloads = self._payloads.unpack(self._commands.tobytes())
        return [*self.heartbeat(), *standard_frames(self._command_ids, payloads), SYNC]

    def accept(self, frame: CanFrame) -> int | None:
        """Take motion in; ``DeviceError`` for an emergency or a drive that left its state."""
        can_id, data = frame.can_id, frame.data
        joint = self._by_motion.get(can_id)
        if joint is not None:
            if len(data) != MOTION.size or frame.remote:
                return None
            self._motion[joint] = data
            return joint
        node = self._node_by_heartbeat.get(can_id)
        if node is not None and data == BOOT_UP:
            self.started_anew.add(node)
        if self.watched and not frame.remote:
            self._watch(can_id, data)
        return None

    def _watch(self, can_id: int, data: bytes) -> None:
        if (node := self._node_by_emergency.get(can_id)) and len(data) == EMERGENCY.size:
            code, _, _ = EMERGENCY.unpack(data)
            if code:  # 0 tells that the error has gone
                raise DeviceError(f"drive {node} reports: emergency {code:#06x}")
        elif (node := self._node_by_status.get(can_id)) and len(data) == STATUS.size:
            state = drive_state(STATUS.unpack(data)[0])
            if state is not DriveState.OPERATION_ENABLED:
                raise DeviceError(f"drive {node} left operation: {state.label}")
        elif (node := self._node_by_heartbeat.get(can_id)) and data == BOOT_UP:
            raise DeviceError(f"drive {node} has started anew; enable again")

    def measured(self) -> Measured:
        """Positions and velocities along the joints."""
        return Measured.of_pairs(self._motion, "<i4", math.nan, self._scaling)
