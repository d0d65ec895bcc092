"""Names for the frames of CANSimple (ODrive manual, "CAN Protocol": messages and their signals)."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.devices import DEVICE, HOST, Decoded
from firmware_bridge.odrive import codec
from firmware_bridge.odrive.codec import FEEDFORWARD_UNIT, Command


class Layout(NamedTuple):
    """Signals of a command, and who sends it (a remote frame is always the host's)."""

    sender: str
    form: struct.Struct
    signals: tuple[str, ...]


def _layout(sender: str, form: str, *signals: str) -> Layout:
    return Layout(sender, struct.Struct(form), signals)


_LAYOUTS = {
    Command.GET_VERSION: _layout(
        DEVICE, "<8B", "protocol", "hw_product", "hw_version", "hw_variant", "fw_major",
        "fw_minor", "fw_revision", "fw_unreleased",
    ),
    Command.HEARTBEAT: _layout(DEVICE, "<IB", "axis_error", "axis_state"),
    Command.ESTOP: _layout(HOST, "<"),
    Command.GET_ERROR: _layout(DEVICE, "<I", "active_errors"),
    Command.ADDRESS: _layout(HOST, "<BIHB", "node_id", "serial_low", "serial_high", "connection"),
    Command.SET_AXIS_STATE: _layout(HOST, "<I", "axis_state"),
    Command.GET_ENCODER_ESTIMATES: _layout(DEVICE, "<ff", "position_turns", "velocity_turns_s"),
    Command.SET_CONTROLLER_MODE: _layout(HOST, "<II", "control_mode", "input_mode"),
    Command.SET_INPUT_POS: _layout(HOST, "<fhh", "position_turns", "velocity_ff", "torque_ff"),
    Command.SET_INPUT_VEL: _layout(HOST, "<ff", "velocity_turns_s", "torque_ff_nm"),
    Command.SET_LIMITS: _layout(HOST, "<ff", "velocity_turns_s", "current_a"),
    Command.GET_IQ: _layout(DEVICE, "<ff", "iq_setpoint_a", "iq_measured_a"),
    Command.REBOOT: _layout(HOST, "<"),
    Command.CLEAR_ERRORS: _layout(HOST, "<"),
}  # fmt: skip
_SCALED = {"velocity_ff": FEEDFORWARD_UNIT, "torque_ff": FEEDFORWARD_UNIT}


class ODriveDecoder:
    """``FrameDecoder``; commands that are not known here keep their number for a name."""

    def decode(self, frame: CanFrame) -> Decoded | None:
        """Node, command and signals of a standard frame."""
        if frame.extended or frame.fd:
            return None
        node, command = codec.split_id(frame.can_id)
        known = command in _LAYOUTS
        name = Command(command).name.lower() if known else f"command_{command:#04x}"
        if frame.remote:
            return Decoded(HOST, node, name, {"remote": 1})
        layout = _LAYOUTS[Command(command)] if known else None
        return Decoded(
            _sender(layout, node, command, frame.data),
            node,
            name,
            _signals(layout, frame.data),
            frame.data,
        )


def _sender(layout: Layout | None, node: int, command: int, data: bytes) -> str:
    """An address message that tells a node its own id is its answer."""
    if layout is None or (command == Command.ADDRESS and data[:1] == bytes((node,))):
        return DEVICE
    return layout.sender


def _signals(layout: Layout | None, data: bytes) -> dict[str, Any]:
    if layout is None or len(data) < layout.form.size:
        return {"data": data.hex()} if data else {}
    values = zip(layout.signals, layout.form.unpack_from(data), strict=True)
    return {name: value * _SCALED.get(name, 1) for name, value in values}
