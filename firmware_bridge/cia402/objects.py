"""The part of the object dictionary that is used here (CiA 301 and CiA 402), as pure data."""

from __future__ import annotations

import struct
from enum import Enum, IntEnum
from typing import NamedTuple

SYNC_ID = 0x80
EMERGENCY_BASE = 0x80
TPDO1_BASE = 0x180
RPDO1_BASE = 0x200
TPDO2_BASE = 0x280
SDO_ANSWER_BASE = 0x580
SDO_QUESTION_BASE = 0x600
HEARTBEAT_BASE = 0x700
NMT_ID = 0x000
MAX_NODE = 127


class Object(IntEnum):
    """Indices by the profile's names."""

    DEVICE_TYPE = 0x1000
    ERROR_REGISTER = 0x1001
    CONSUMER_HEARTBEAT = 0x1016
    PRODUCER_HEARTBEAT = 0x1017
    IDENTITY = 0x1018
    RPDO1_COMMUNICATION = 0x1400
    RPDO1_MAPPING = 0x1600
    TPDO1_COMMUNICATION = 0x1800
    TPDO2_COMMUNICATION = 0x1801
    TPDO1_MAPPING = 0x1A00
    TPDO2_MAPPING = 0x1A01
    ABORT_CONNECTION_OPTION = 0x6007
    ERROR_CODE = 0x603F
    CONTROLWORD = 0x6040
    STATUSWORD = 0x6041
    QUICK_STOP_OPTION = 0x605A
    MODES_OF_OPERATION = 0x6060
    MODES_OF_OPERATION_DISPLAY = 0x6061
    POSITION_ACTUAL = 0x6064
    VELOCITY_ACTUAL = 0x606C
    TARGET_POSITION = 0x607A
    POSITION_ENCODER_RESOLUTION = 0x608F
    INTERPOLATION_TIME = 0x60C2
    SUPPORTED_DRIVE_MODES = 0x6502


class NmtCommand(IntEnum):
    """First byte of a network management frame."""

    START = 0x01
    STOP = 0x02
    PRE_OPERATIONAL = 0x80
    RESET_NODE = 0x81
    RESET_COMMUNICATION = 0x82


class Controlword(IntEnum):
    """Commands of the drive's state machine."""

    DISABLE_VOLTAGE = 0x00
    QUICK_STOP = 0x02
    SHUTDOWN = 0x06
    SWITCH_ON = 0x07
    ENABLE_OPERATION = 0x0F
    FAULT_RESET = 0x80


class DriveState(Enum):
    """States of CiA 402, with (mask, value) of the statusword."""

    NOT_READY = (0x4F, 0x00)
    SWITCH_ON_DISABLED = (0x4F, 0x40)
    READY_TO_SWITCH_ON = (0x6F, 0x21)
    SWITCHED_ON = (0x6F, 0x23)
    OPERATION_ENABLED = (0x6F, 0x27)
    QUICK_STOP_ACTIVE = (0x6F, 0x07)
    FAULT_REACTION = (0x4F, 0x0F)
    FAULT = (0x4F, 0x08)

    @property
    def label(self) -> str:
        """Its name in words."""
        return self.name.lower().replace("_", " ")


CYCLIC_SYNCHRONOUS_POSITION = 8
CSP_SUPPORTED = 1 << 7
SYNCHRONOUS = 1  # PDO transmission type: with every SYNC
ON_CHANGE = 255
HOLD_AFTER_QUICK_STOP = 6  # 605Ah: slow down on the quick stop ramp and stay in that state
QUICK_STOP_ON_LOST_HOST = 3  # 6007h
HEARTBEAT_LOST = 0x8130  # emergency error code "life guard or heartbeat error"

COMMAND = struct.Struct("<Hi")  # RPDO1: controlword, target position
MOTION = struct.Struct("<ii")  # TPDO1: position and velocity actual value
STATUS = struct.Struct("<H")  # TPDO2: statusword
EMERGENCY = struct.Struct("<HB5s")  # error code, error register, maker's own
COMMAND_MAPPING = (0x6040_0010, 0x607A_0020)
MOTION_MAPPING = (0x6064_0020, 0x606C_0020)
STATUS_MAPPING = (0x6041_0010,)


class Pdo(NamedTuple):
    """How one PDO is set: its objects, its id without the node, when it is sent, what it holds."""

    communication: Object
    mapping: Object
    base_id: int
    kind: int
    entries: tuple[int, ...]


PDOS = (
    Pdo(Object.RPDO1_COMMUNICATION, Object.RPDO1_MAPPING, RPDO1_BASE, SYNCHRONOUS, COMMAND_MAPPING),
    Pdo(Object.TPDO1_COMMUNICATION, Object.TPDO1_MAPPING, TPDO1_BASE, SYNCHRONOUS, MOTION_MAPPING),
    Pdo(Object.TPDO2_COMMUNICATION, Object.TPDO2_MAPPING, TPDO2_BASE, ON_CHANGE, STATUS_MAPPING),
)


def drive_state(statusword: int) -> DriveState:
    """The state that a statusword tells; patterns of no state count as NOT_READY."""
    for state in DriveState:
        mask, value = state.value
        if statusword & mask == value:
            return state
    return DriveState.NOT_READY
