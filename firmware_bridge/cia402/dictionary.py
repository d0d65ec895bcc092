"""The object dictionary as ``canopen`` wants it, from one table."""

from __future__ import annotations

from canopen.objectdictionary import (
    INTEGER8,
    INTEGER16,
    INTEGER32,
    UNSIGNED8,
    UNSIGNED16,
    UNSIGNED32,
    ObjectDictionary,
    ODRecord,
    ODVariable,
)

from firmware_bridge.cia402.objects import CSP_SUPPORTED, Object

MAPPED_ENTRIES = 8
DRIVE_PROFILE = 0x0002_0192  # servo drive, profile 402
COUNTS_PER_TURN = 65_536

_VARIABLES = (  # index, type, default, access
    (Object.DEVICE_TYPE, UNSIGNED32, DRIVE_PROFILE, "ro"),
    (Object.ERROR_REGISTER, UNSIGNED8, 0, "ro"),
    (Object.PRODUCER_HEARTBEAT, UNSIGNED16, 0, "rw"),
    (Object.ABORT_CONNECTION_OPTION, INTEGER16, 1, "rw"),
    (Object.ERROR_CODE, UNSIGNED16, 0, "ro"),
    (Object.CONTROLWORD, UNSIGNED16, 0, "rww"),
    (Object.STATUSWORD, UNSIGNED16, 0x40, "ro"),
    (Object.QUICK_STOP_OPTION, INTEGER16, 2, "rw"),
    (Object.MODES_OF_OPERATION, INTEGER8, 0, "rww"),
    (Object.MODES_OF_OPERATION_DISPLAY, INTEGER8, 0, "ro"),
    (Object.POSITION_ACTUAL, INTEGER32, 0, "ro"),
    (Object.VELOCITY_ACTUAL, INTEGER32, 0, "ro"),
    (Object.TARGET_POSITION, INTEGER32, 0, "rww"),
    (Object.SUPPORTED_DRIVE_MODES, UNSIGNED32, CSP_SUPPORTED, "ro"),
)
_RECORDS = (  # index, then (type, default) of subindex 1 and up
    (Object.CONSUMER_HEARTBEAT, ((UNSIGNED32, 0),)),
    (
        Object.POSITION_ENCODER_RESOLUTION,
        ((UNSIGNED32, COUNTS_PER_TURN), (UNSIGNED32, 1)),
    ),
    (Object.INTERPOLATION_TIME, ((UNSIGNED8, 5), (INTEGER8, -3))),
    (Object.RPDO1_COMMUNICATION, ((UNSIGNED32, 0x8000_0200), (UNSIGNED8, 255))),
    (Object.TPDO1_COMMUNICATION, ((UNSIGNED32, 0x8000_0180), (UNSIGNED8, 255))),
    (Object.TPDO2_COMMUNICATION, ((UNSIGNED32, 0x8000_0280), (UNSIGNED8, 255))),
)
_MAPPINGS = (Object.RPDO1_MAPPING, Object.TPDO1_MAPPING, Object.TPDO2_MAPPING)


def object_dictionary(
    node_id: int, identity: tuple[int, int, int, int] = (0, 0, 0, 0)
) -> ObjectDictionary:
    """A drive's dictionary; PDO ids start at their defaults for ``node_id``, switched off.

    ``identity``: vendor, product, revision and serial number.
    """
    dictionary = ObjectDictionary()  # type: ignore[no-untyped-call]
    for index, data_type, default, access in _VARIABLES:
        dictionary.add_object(_variable(_name(index), index, 0, data_type, default, access))
    named = (Object.IDENTITY, tuple((UNSIGNED32, value) for value in identity))
    for index, entries in (named, *_RECORDS):
        record = ODRecord(_name(index), index)
        record.add_member(_variable("count", index, 0, UNSIGNED8, len(entries), "ro"))
        for sub, (data_type, default) in enumerate(entries, start=1):
            is_pdo_id = 0x1400 <= index < 0x1A00 and sub == 1
            value = default + node_id if is_pdo_id else default
            record.add_member(_variable(f"entry {sub}", index, sub, data_type, value, "rw"))
        dictionary.add_object(record)
    for index in _MAPPINGS:
        record = ODRecord(_name(index), index)
        record.add_member(_variable("count", index, 0, UNSIGNED8, 0, "rw"))
        for sub in range(1, MAPPED_ENTRIES + 1):
            record.add_member(_variable(f"entry {sub}", index, sub, UNSIGNED32, 0, "rw"))
        dictionary.add_object(record)
    return dictionary


def _name(index: int) -> str:
    known = index in Object.__members__.values()
    return Object(index).name.lower().replace("_", " ") if known else f"object {index:04x}"


def _variable(
    name: str, index: int, sub: int, data_type: int, default: int, access: str
) -> ODVariable:
    variable = ODVariable(name, index, sub)
    variable.data_type = data_type
    variable.default = default
    variable.access_type = access
    return variable
