"""Names for the frames of CANopen drives (CiA 301 default connections, this project's PDOs)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.cia402 import lss
from firmware_bridge.cia402.objects import (
    COMMAND,
    EMERGENCY,
    EMERGENCY_BASE,
    HEARTBEAT_BASE,
    MOTION,
    NMT_ID,
    RPDO1_BASE,
    SDO_ANSWER_BASE,
    SDO_QUESTION_BASE,
    STATUS,
    SYNC_ID,
    TPDO1_BASE,
    TPDO2_BASE,
    NmtCommand,
    Object,
    drive_state,
)
from firmware_bridge.devices import DEVICE, HOST, Decoded

_NODE = 0x7F
_NMT_STATES = {0: "boot-up", 4: "stopped", 5: "operational", 127: "pre-operational"}
_LSS = {
    lss.SWITCH_GLOBAL: "lss_switch",
    lss.SELECTED: "lss_selected",
    lss.SET_NODE: "lss_set_node",
    lss.STORE: "lss_store",
}
Fields = dict[str, Any]


class Cia402Decoder:
    """``FrameDecoder``. PDOs are read as this project maps them; of another length, as bytes."""

    def decode(self, frame: CanFrame) -> Decoded | None:
        """A standard frame of one of the predefined connections."""
        if frame.extended or frame.fd or frame.remote:
            return None
        can_id, data = frame.can_id, frame.data
        if can_id == NMT_ID and len(data) == 2:
            return Decoded(HOST, data[1] or None, "nmt", {"command": _nmt(data[0])}, data)
        if can_id == SYNC_ID:
            return Decoded(HOST, None, "sync", {}, data)
        if can_id in (lss.MASTER_ID, lss.SLAVE_ID):
            return _lss(frame)
        base, node = can_id & ~_NODE, can_id & _NODE
        if base not in _CONNECTIONS or not node:
            return None
        sender, name, read = _CONNECTIONS[base]
        return Decoded(sender, node, name, read(data) or {"data": data.hex()}, data)


def _nmt(command: int) -> str:
    known = command in NmtCommand.__members__.values()
    return NmtCommand(command).name.lower() if known else f"{command:#x}"


def _lss(frame: CanFrame) -> Decoded:
    sender = HOST if frame.can_id == lss.MASTER_ID else DEVICE
    command = frame.data[0] if frame.data else 0
    name = _LSS.get(command, "lss_select" if command in range(0x40, 0x44) else f"lss_{command:#x}")
    return Decoded(sender, None, name, {"data": frame.data[1:].hex()}, frame.data)


def _emergency(data: bytes) -> Fields:
    if len(data) != EMERGENCY.size:
        return {}
    code, register, _ = EMERGENCY.unpack(data)
    return {"code": f"{code:#06x}", "error_register": register}


def _motion(data: bytes) -> Fields:
    if len(data) != MOTION.size:
        return {}
    position, velocity = MOTION.unpack(data)
    return {"position_counts": position, "velocity_counts_s": velocity}


def _status(data: bytes) -> Fields:
    if len(data) != STATUS.size:
        return {}
    (word,) = STATUS.unpack(data)
    return {"statusword": f"{word:#06x}", "state": drive_state(word).label}


def _command(data: bytes) -> Fields:
    if len(data) != COMMAND.size:
        return {}
    word, target = COMMAND.unpack(data)
    return {"controlword": f"{word:#06x}", "target_counts": target}


def _heartbeat(data: bytes) -> Fields:
    return {"state": _NMT_STATES.get(data[0], data[0])} if len(data) == 1 else {}


def _sdo(data: bytes) -> Fields:
    """An expedited transfer; longer ones keep their bytes."""
    if len(data) != 8:
        return {}
    index, sub, command = int.from_bytes(data[1:3], "little"), data[3], data[0]
    known = index in Object.__members__.values()
    name = Object(index).name.lower() if known else f"{index:04x}h"
    fields: Fields = {"object": name if sub == 0 else f"{name}.{sub}"}
    if command == 0x80:
        return fields | {"abort": f"{int.from_bytes(data[4:], 'little'):#010x}"}
    if command >> 5 in (1, 2) and command & 0x02:  # data of this transfer stands in the frame
        size = 4 - (command >> 2 & 3) if command & 0x01 else 4
        fields["value"] = int.from_bytes(data[4 : 4 + size], "little")
    return fields


_CONNECTIONS: dict[int, tuple[str, str, Callable[[bytes], Fields]]] = {
    EMERGENCY_BASE: (DEVICE, "emergency", _emergency),
    TPDO1_BASE: (DEVICE, "motion", _motion),
    TPDO2_BASE: (DEVICE, "status", _status),
    RPDO1_BASE: (HOST, "command", _command),
    SDO_ANSWER_BASE: (DEVICE, "sdo_answer", _sdo),
    SDO_QUESTION_BASE: (HOST, "sdo", _sdo),
    HEARTBEAT_BASE: (DEVICE, "heartbeat", _heartbeat),
}
