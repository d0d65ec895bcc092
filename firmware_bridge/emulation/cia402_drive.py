"""One emulated CANopen drive (CiA 402, CSP): ``canopen`` serves SDO and NMT, the rest is here."""

from __future__ import annotations

import contextlib
import math
import struct
from typing import Any

import canopen

from firmware_bridge.can_bus.frame import CLASSIC_MAX_LENGTH, CanFrame
from firmware_bridge.cia402.dictionary import COUNTS_PER_TURN, object_dictionary
from firmware_bridge.cia402.lss import MASTER_ID as LSS_MASTER_ID
from firmware_bridge.cia402.lss import Identity
from firmware_bridge.cia402.objects import (
    CYCLIC_SYNCHRONOUS_POSITION,
    EMERGENCY,
    EMERGENCY_BASE,
    HEARTBEAT_BASE,
    HEARTBEAT_LOST,
    NMT_ID,
    ON_CHANGE,
    PDOS,
    SDO_QUESTION_BASE,
    SYNC_ID,
    DriveState,
    NmtCommand,
    Object,
    Pdo,
)
from firmware_bridge.emulation.can_motor import NS_PER_MS, CanMotor
from firmware_bridge.emulation.canopen_outbox import Outbox
from firmware_bridge.emulation.lss_slave import LssSlave

COUNTS_PER_RAD = COUNTS_PER_TURN / (2.0 * math.pi)
PDO_OFF = 1 << 31
VENDOR, PRODUCT, REVISION, FIRST_SERIAL = 0x7FFF, 1, 1, 1000
FIRST_PROFILE_INDEX = 0x6000
CAN_ID_MASK = 0x7FF
VOLTAGE_ENABLED, REMOTE = 0x10, 0x200  # bits of the statusword
GENERIC_ERROR = 0x01  # bit of the error register
FAULT_RESET = 0x80
LAST_SYNCHRONOUS = 240  # transmission types 1 to 240: with a SYNC
_TPDOS = (
    (Object.TPDO1_COMMUNICATION, Object.TPDO1_MAPPING),
    (Object.TPDO2_COMMUNICATION, Object.TPDO2_MAPPING),
)
_TORQUE = (DriveState.OPERATION_ENABLED, DriveState.QUICK_STOP_ACTIVE)


class Cia402Drive(CanMotor):
    """State machine, SDO, NMT, SYNC, mapped PDOs, emergency and consumer heartbeat.

    After a quick stop it holds (605Ah = 6, whatever is set). The interpolation time is stored and
    not used: the plant's own servo makes the motion smooth.
    """

    def __init__(self, joint: int, node_id: int) -> None:
        super().__init__(joint, node_id)
        self._lss = LssSlave(Identity(VENDOR, PRODUCT, REVISION, FIRST_SERIAL + joint), node_id)
        self._make_node()
        self.state = DriveState.SWITCH_ON_DISABLED
        self.error_code = 0
        self._last_controlword = 0
        self._host_heard_ns: int | None = None
        self._told_status: int | None = None
        self._target_counts = 0
        self._now_ns = 0
        self._stale = True  # the dictionary has changed since ``_refresh_ids``
        self._heartbeat = 0
        self._host_heartbeat_id = HEARTBEAT_BASE
        self._command_id: int | None = None
        self._command_mapping: list[tuple[int, int, int]] = []
        self._synchronous: list[tuple[Object, Object]] = []
        self._mappings: dict[Object, list[tuple[int, int, int]]] = {}
        self._boot()

    def _make_node(self) -> None:
        """What ``canopen`` serves, under the present node id."""
        dictionary = object_dictionary(self.device_id, self._lss.identity)
        self._outbox = Outbox()
        self._network = canopen.Network(self._outbox)  # type: ignore[arg-type]
        self._node = canopen.LocalNode(self.device_id, dictionary)
        self._network.add_node(self._node)
        self._node.add_read_callback(self._read)  # type: ignore[no-untyped-call]
        self._node.add_write_callback(self._written)  # type: ignore[no-untyped-call]

    def _boot(self) -> None:
        self._node.nmt.send_command(0x81)
        self._node.nmt.state = "PRE-OPERATIONAL"

    def hear(self, frame: CanFrame) -> list[CanFrame]:
        """Serve SDO and NMT, take RPDOs, answer SYNC."""
        if not self.power or frame.extended or frame.remote:
            return []
        self._now_ns = frame.stamp_ns
        if self._stale:
            self._refresh_ids()
        if frame.can_id == SYNC_ID:
            return self._synchronise()
        if frame.can_id == LSS_MASTER_ID:
            return self._lss.hear(frame)
        if self._is_renamed(frame):
            return self._spoken()
        if frame.can_id == self._host_heartbeat_id:
            self._host_heard_ns = frame.stamp_ns
        elif frame.can_id == self._command_id and self._operational:
            self._take_pdo(frame.data)
        elif frame.can_id in (NMT_ID, SDO_QUESTION_BASE + self.device_id):
            if len(frame.data) in (2, 8):
                self._network.notify(frame.can_id, bytearray(frame.data), 0.0)
        else:
            return []
        return self._spoken()

    def _is_renamed(self, frame: CanFrame) -> bool:
        """Take the node id that LSS left, with a reset for this node or for all."""
        resets = (NmtCommand.RESET_NODE, NmtCommand.RESET_COMMUNICATION)
        if frame.can_id != NMT_ID or len(frame.data) != 2 or frame.data[0] not in resets:
            return False
        if frame.data[1] not in (0, self.device_id) or self._lss.pending == self.device_id:
            return False
        self.device_id, self._stale = self._lss.pending, True
        self._make_node()
        self._boot()
        return True

    def _refresh_ids(self) -> None:
        """Work out what to listen to, once after each change of the dictionary."""
        self._stale = False
        self._heartbeat = self._heartbeat_entry()
        self._host_heartbeat_id = HEARTBEAT_BASE + (self._heartbeat >> 16 & 0x7F)
        entry = self._get(Object.RPDO1_COMMUNICATION, 1)
        self._command_id = None if entry & PDO_OFF else entry & CAN_ID_MASK
        self._command_mapping = self._mapping(Object.RPDO1_MAPPING)
        self._synchronous = [pdo for pdo in _TPDOS if 1 <= self._get(pdo[0], 2) <= LAST_SYNCHRONOUS]
        self._mappings = {mapping: self._mapping(mapping) for _, mapping in _TPDOS}

    def _spoken(self) -> list[CanFrame]:
        return [*self._outbox.take(), *self._changed_status()]

    def tick(self, now_ns: int) -> list[CanFrame]:
        """Own heartbeat, and the host's if it is watched."""
        if not self.power:
            self._outbox.take()
            return []
        self._now_ns = now_ns
        self._outbox.tick(now_ns)
        if self._stale:
            self._refresh_ids()
        limit_ns = (self._heartbeat & 0xFFFF) * NS_PER_MS
        heard_ns = self._host_heard_ns
        if limit_ns and heard_ns is not None and now_ns - heard_ns > limit_ns:
            self._host_heard_ns = None  # watched again from its next heartbeat on
            self._lose_host()
        return self._spoken()

    def _lose_host(self) -> None:
        self.watchdog_trips += 1
        self._emergency(HEARTBEAT_LOST)
        if self.state is DriveState.OPERATION_ENABLED:
            self.aim_here()
            self._enter(DriveState.QUICK_STOP_ACTIVE)

    def _emergency(self, code: int) -> None:
        self.error_code = code
        register = GENERIC_ERROR if code else 0
        data = EMERGENCY.pack(code, register, bytes(5))
        self._outbox.frames.append(CanFrame(EMERGENCY_BASE + self.device_id, data))

    def _get(self, index: int, sub: int = 0) -> int:
        data = self._node.get_data(index, sub)
        signed = index in (Object.POSITION_ACTUAL, Object.VELOCITY_ACTUAL, Object.TARGET_POSITION)
        return int.from_bytes(data, "little", signed=signed)

    def _heartbeat_entry(self) -> int:
        return self._get(Object.CONSUMER_HEARTBEAT, 1)

    @property
    def _operational(self) -> bool:
        return self._node.nmt.state == "OPERATIONAL"

    def _pdo_id(self, communication: int) -> int | None:
        """Id of a PDO that is switched on while this node is operational."""
        entry = self._get(communication, 1)
        return None if entry & PDO_OFF or not self._operational else entry & CAN_ID_MASK

    def _mapping(self, index: int) -> list[tuple[int, int, int]]:
        """(index, sub, bytes) of each mapped object."""
        entries = [self._get(index, sub + 1) for sub in range(self._get(index))]
        return [(entry >> 16, entry >> 8 & 0xFF, (entry & 0xFF) // 8) for entry in entries]

    def _take_pdo(self, data: bytes) -> None:
        at = 0
        for index, sub, size in self._command_mapping:
            piece = data[at : at + size]
            at += size
            if len(piece) == size:
                with contextlib.suppress(canopen.SdoAbortedError):  # mapped to nothing
                    self._node.set_data(index, sub, piece)

    def _make_pdo(self, communication: Object, mapping: Object) -> list[CanFrame]:
        can_id = self._pdo_id(communication)
        if can_id is None:
            return []
        try:
            data = b"".join(self._node.get_data(i, sub) for i, sub, _ in self._mappings[mapping])
        except canopen.SdoAbortedError:  # mapped to nothing
            return []
        return [CanFrame(can_id, data)] if len(data) <= CLASSIC_MAX_LENGTH else []

    def _synchronise(self) -> list[CanFrame]:
        """Apply the target, then sample."""
        if self.state is DriveState.OPERATION_ENABLED:
            self._follow_target()
        frames: list[CanFrame] = []
        for communication, mapping in self._synchronous:
            frames += self._make_pdo(communication, mapping)
        return frames

    def _changed_status(self) -> list[CanFrame]:
        status = self._statusword()
        if status == self._told_status or not self._operational:
            return []
        self._told_status = status
        if self._get(Object.TPDO2_COMMUNICATION, 2) != ON_CHANGE:
            return []
        return self._make_pdo(Object.TPDO2_COMMUNICATION, Object.TPDO2_MAPPING)

    def _follow_target(self) -> None:
        if self._get(Object.MODES_OF_OPERATION) == CYCLIC_SYNCHRONOUS_POSITION:
            self.move_to(self._target_counts / COUNTS_PER_RAD)

    def _statusword(self) -> int:
        return self.state.value[1] | VOLTAGE_ENABLED | REMOTE

    def _read(self, index: int, **_: Any) -> int | None:
        if index == Object.STATUSWORD:
            return self._statusword()
        if index == Object.POSITION_ACTUAL:
            return round(self.position_rad * COUNTS_PER_RAD)
        if index == Object.VELOCITY_ACTUAL:
            return round(self.velocity_rad_s * COUNTS_PER_RAD)
        if index == Object.MODES_OF_OPERATION_DISPLAY:
            return self._get(Object.MODES_OF_OPERATION)
        return self.error_code if index == Object.ERROR_CODE else None

    def _written(self, index: int, data: bytes, **_: Any) -> None:
        if index < FIRST_PROFILE_INDEX:
            self._stale = True
        if index == Object.CONTROLWORD:
            self._control(struct.unpack("<H", data)[0])
        elif index == Object.TARGET_POSITION:
            self._target_counts = struct.unpack("<i", data)[0]
        elif index == Object.CONSUMER_HEARTBEAT:
            self._host_heard_ns = self._now_ns if any(data) else None

    def _control(self, word: int) -> None:
        """The transitions of CiA 402 that a controlword can cause."""
        rising = word & ~self._last_controlword
        self._last_controlword = word
        if self.state is DriveState.FAULT:
            if rising & FAULT_RESET:
                self._emergency(0)
                self._enter(DriveState.SWITCH_ON_DISABLED)
        elif not word & 0x02:
            self._enter(DriveState.SWITCH_ON_DISABLED)
        elif not word & 0x04:
            self._quick_stop()
        elif self.state is not DriveState.QUICK_STOP_ACTIVE:
            self._climb(word & 0x0F)

    def _quick_stop(self) -> None:
        if self.state is DriveState.OPERATION_ENABLED:
            self.aim_here()
            self._enter(DriveState.QUICK_STOP_ACTIVE)
        elif self.state is not DriveState.QUICK_STOP_ACTIVE:
            self._enter(DriveState.SWITCH_ON_DISABLED)

    def _climb(self, word: int) -> None:
        ladder = {
            (DriveState.SWITCH_ON_DISABLED, 0x06): DriveState.READY_TO_SWITCH_ON,
            (DriveState.READY_TO_SWITCH_ON, 0x07): DriveState.SWITCHED_ON,
            (DriveState.READY_TO_SWITCH_ON, 0x0F): DriveState.OPERATION_ENABLED,
            (DriveState.SWITCHED_ON, 0x0F): DriveState.OPERATION_ENABLED,
            (DriveState.SWITCHED_ON, 0x06): DriveState.READY_TO_SWITCH_ON,
            (DriveState.OPERATION_ENABLED, 0x07): DriveState.SWITCHED_ON,
            (DriveState.OPERATION_ENABLED, 0x06): DriveState.READY_TO_SWITCH_ON,
        }
        if (self.state, word) in ladder:
            self._enter(ladder[self.state, word])

    def _enter(self, state: DriveState) -> None:
        if state is DriveState.OPERATION_ENABLED and self.state is not state:
            self._follow_target()
        self.state = state
        (self.grip if state in _TORQUE else self.release)()

    def fail(self, code: int) -> None:
        """A fault of the drive: emergency, voltage off until it is reset."""
        self._emergency(code)
        self._enter(DriveState.FAULT)

    def hold(self) -> None:
        """Operation enabled in CSP where it stands, with this project's PDOs."""
        for pdo in PDOS:
            self._preset(pdo)
        self._node.set_data(Object.MODES_OF_OPERATION, 0, bytes((CYCLIC_SYNCHRONOUS_POSITION,)))
        self._target_counts = round(self.position_rad * COUNTS_PER_RAD)
        self._node.nmt.state = "OPERATIONAL"
        self._enter(DriveState.OPERATION_ENABLED)

    def _preset(self, pdo: Pdo) -> None:
        node = self._node
        node.set_data(pdo.communication, 1, (pdo.base_id + self.device_id).to_bytes(4, "little"))
        node.set_data(pdo.communication, 2, bytes((pdo.kind,)))
        for sub, entry in enumerate(pdo.entries, start=1):
            node.set_data(pdo.mapping, sub, entry.to_bytes(4, "little"))
        node.set_data(pdo.mapping, 0, bytes((len(pdo.entries),)))

    def restart(self) -> None:
        """As at power-on: boot-up message, pre-operational, no voltage, dictionary as made."""
        super().restart()
        self.device_id = self._lss.pending = self._lss.stored
        self._make_node()
        self._stale = True
        self.state, self.error_code = DriveState.SWITCH_ON_DISABLED, 0
        self._host_heard_ns = self._told_status = None
        self._boot()
