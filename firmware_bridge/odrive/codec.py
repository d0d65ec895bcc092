"""ODrive CANSimple: frames to values and back (ODrive manual, "CAN Protocol", 0.5.6 and 0.6).

The id is ``node << 5 | command``, classic, 11 bits, little-endian payloads. A remote frame asks for
the values of a command. Both firmwares share the commands here except where a name says so; what
0.5 calls command 0 is CANopen's, so only 0.6 answers to it.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from firmware_bridge.can_bus.frame import CanFrame

NODE_SHIFT = 5
COMMAND_MASK = 0x1F
MAX_NODE = 0x3E  # 0x3F is "not addressed yet"
FEEDFORWARD_UNIT = 0.001


class Command(IntEnum):
    """Command numbers, by the manual's names."""

    GET_VERSION = 0x00  # 0.6 only
    HEARTBEAT = 0x01
    ESTOP = 0x02
    GET_ERROR = 0x03  # 0.5: motor error
    ADDRESS = 0x06  # 0.6 only
    SET_AXIS_STATE = 0x07
    GET_ENCODER_ESTIMATES = 0x09
    SET_CONTROLLER_MODE = 0x0B
    SET_INPUT_POS = 0x0C
    SET_INPUT_VEL = 0x0D
    SET_LIMITS = 0x0F
    GET_IQ = 0x14
    REBOOT = 0x16
    CLEAR_ERRORS = 0x18


class AxisState(IntEnum):
    """States that this bridge asks for."""

    UNDEFINED = 0
    IDLE = 1
    CLOSED_LOOP_CONTROL = 8


class ControlMode(IntEnum):
    """What the input means."""

    VELOCITY = 2
    POSITION = 3


class InputMode(IntEnum):
    """How the input is taken over."""

    PASSTHROUGH = 1


class Heartbeat(NamedTuple):
    """What a node tells unasked, ten times a second by default."""

    axis_error: int
    axis_state: int


class Version(NamedTuple):
    """Answer to ``GET_VERSION``: hardware and firmware (major, minor, revision)."""

    hardware: tuple[int, int, int]
    firmware: tuple[int, int, int]


class Address(NamedTuple):
    """An axis' node id and its serial number (6 bytes); ``connection`` is its interface's."""

    node: int
    serial_number: bytes
    connection: int = 0


class RebootAction(IntEnum):
    """What else a reboot does (0.6)."""

    REBOOT = 0
    SAVE = 1


_PAIR = struct.Struct("<ff")
_INPUT_POS = struct.Struct("<fhh")
_TWO_WORDS = struct.Struct("<II")
_WORD = struct.Struct("<I")
_HEARTBEAT = struct.Struct("<IB")
_VERSION = struct.Struct("<8B")
_ADDRESS = struct.Struct("<B6sB")


def frame_id(node: int, command: int) -> int:
    """Id of a node's command."""
    return node << NODE_SHIFT | command


def split_id(can_id: int) -> tuple[int, int]:
    """(node, command) of an id."""
    return can_id >> NODE_SHIFT, can_id & COMMAND_MASK


def ask(node: int, command: Command) -> CanFrame:
    """The remote frame that asks for a command's values."""
    return CanFrame(frame_id(node, command), bytes(8), remote=True)


def set_axis_state(node: int, state: int) -> CanFrame:
    """Ask for an axis state."""
    return CanFrame(frame_id(node, Command.SET_AXIS_STATE), _WORD.pack(state))


def set_controller_mode(node: int, control: int, input_mode: int) -> CanFrame:
    """Say what inputs mean and how they are taken over."""
    data = _TWO_WORDS.pack(control, input_mode)
    return CanFrame(frame_id(node, Command.SET_CONTROLLER_MODE), data)


def set_input_pos(
    node: int, turns: float, velocity_ff: float = 0, torque_ff: float = 0
) -> CanFrame:
    """Position [turns] with feed-forward velocity [turns/s] and torque [Nm], both saturated."""
    forward = (_saturated(velocity_ff), _saturated(torque_ff))
    return CanFrame(frame_id(node, Command.SET_INPUT_POS), _INPUT_POS.pack(turns, *forward))


def _saturated(value: float) -> int:
    return max(-32768, min(32767, round(value / FEEDFORWARD_UNIT)))


def set_input_vel(node: int, turns_s: float, torque_ff: float = 0.0) -> CanFrame:
    """Velocity [turns/s] with feed-forward torque [Nm]."""
    return CanFrame(frame_id(node, Command.SET_INPUT_VEL), _PAIR.pack(turns_s, torque_ff))


def clear_errors(node: int) -> CanFrame:
    """Disarm reasons and errors go; the last byte would make the device blink."""
    return CanFrame(frame_id(node, Command.CLEAR_ERRORS), bytes(1))


def reboot(node: int, action: int = RebootAction.REBOOT) -> CanFrame:
    """Start the controller again."""
    return CanFrame(frame_id(node, Command.REBOOT), bytes((action,)))


def set_address(node: int, value: Address) -> CanFrame:
    """Give the axis with this serial number, now at ``node``, another node id."""
    return CanFrame(frame_id(node, Command.ADDRESS), _ADDRESS.pack(*value))


def address(value: Address) -> CanFrame:
    """Who an axis is, as it answers a remote frame."""
    return set_address(value.node, value)


def encoder_estimates(node: int, turns: float, turns_s: float) -> CanFrame:
    """Position [turns] and velocity [turns/s], as the device sends them."""
    return CanFrame(frame_id(node, Command.GET_ENCODER_ESTIMATES), _PAIR.pack(turns, turns_s))


def iq(node: int, setpoint_a: float, measured_a: float) -> CanFrame:
    """Torque-making currents [A], as the device sends them."""
    return CanFrame(frame_id(node, Command.GET_IQ), _PAIR.pack(setpoint_a, measured_a))


def heartbeat_0_5(node: int, beat: Heartbeat) -> CanFrame:
    """Heartbeat of firmware 0.5: error, state, then flags of motor, encoder and controller."""
    failed = 1 if beat.axis_error else 0
    data = _HEARTBEAT.pack(*beat) + bytes((failed, 0, 0))
    return CanFrame(frame_id(node, Command.HEARTBEAT), data)


def heartbeat_0_6(node: int, beat: Heartbeat, trajectory_done: bool = True) -> CanFrame:
    """Heartbeat of firmware 0.6: error, state, procedure result, trajectory done."""
    data = _HEARTBEAT.pack(*beat) + bytes((0, int(trajectory_done), 0))
    return CanFrame(frame_id(node, Command.HEARTBEAT), data)


def version(node: int, value: Version) -> CanFrame:
    """Version message of firmware 0.6 (its protocol number is 2)."""
    data = _VERSION.pack(2, *value.hardware, *value.firmware, 0)
    return CanFrame(frame_id(node, Command.GET_VERSION), data)


def read_pair(data: bytes) -> tuple[float, float] | None:
    """Two floats (estimates or currents), or None for other lengths."""
    return _PAIR.unpack(data) if len(data) == _PAIR.size else None


def read_heartbeat(data: bytes) -> Heartbeat | None:
    """Error and state, which stand alike in both firmwares; None for a frame too short."""
    return Heartbeat(*_HEARTBEAT.unpack_from(data)) if len(data) >= _HEARTBEAT.size else None


def read_address(data: bytes) -> Address | None:
    """Node id and serial number, or None for another length."""
    return Address(*_ADDRESS.unpack(data)) if len(data) == _ADDRESS.size else None


def read_version(data: bytes) -> Version | None:
    """Hardware and firmware version, or None for another length."""
    if len(data) != _VERSION.size:
        return None
    fields = _VERSION.unpack(data)
    return Version(fields[1:4], fields[4:7])
