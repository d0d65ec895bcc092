"""Asking single ODrive axes: who is there, how quick, and another node id."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.link import CanLink
from firmware_bridge.devices import Found
from firmware_bridge.errors import BusTimeout, DeviceError
from firmware_bridge.odrive import codec
from firmware_bridge.odrive.codec import (
    MAX_NODE,
    Address,
    AxisState,
    Command,
    Heartbeat,
    RebootAction,
    Version,
)
from firmware_bridge.odrive.errors import describe_axis_error
from firmware_bridge.transports.can_port import CanTransport

LISTEN_NS = 300_000_000  # three heartbeats at their default rate
REBOOT_NS = 2_000_000_000
FIRMWARE_WITHOUT_VERSION = (0, 5)


class ODriveTools:
    """``DeviceTools`` for CANSimple; the id of firmware 0.5 is set by its maker's tool alone."""

    ids = range(MAX_NODE + 1)
    fixed_id = ""

    def __init__(self, transport: CanTransport, listen_ns: int = LISTEN_NS) -> None:
        self._link = CanLink(transport)
        self._listen_ns = listen_ns

    def scan(self, ids: Sequence[int]) -> list[Found]:
        """Whoever sends a heartbeat, its version or its estimates."""
        heard: dict[int, dict[int, bytes]] = {}

        def note(frame: CanFrame) -> None:
            node, command = codec.split_id(frame.can_id)
            if node in ids and not frame.extended and not frame.remote:
                heard.setdefault(node, {})[command] = frame.data

        self._link.forget()
        for node in ids:
            questions = (Command.GET_VERSION, Command.GET_ENCODER_ESTIMATES)
            self._link.tell([codec.ask(node, command) for command in questions])
            self._link.listen(note, 1)
        self._link.listen(note, self._listen_ns)
        return [_describe(node, heard[node]) for node in sorted(heard)]

    def ping(self, device_id: int) -> None:
        """The estimates, by a remote frame."""
        question = codec.ask(device_id, Command.GET_ENCODER_ESTIMATES)
        what = f"axis {device_id} (encoder estimates)"
        self._link.ask([question], _from(question.can_id), what, attempts=1)

    def set_id(self, device_id: int, new_id: int) -> None:
        """Idle, then the address message of 0.6 with the axis' serial number, then save."""
        self._check_firmware(device_id)
        self._link.tell([codec.set_axis_state(device_id, AxisState.IDLE)])
        serial_number = self._serial_number(device_id)
        self._link.tell([codec.set_address(device_id, Address(new_id, serial_number))])
        if self._serial_number(new_id) != serial_number:
            raise DeviceError(f"axis {device_id} did not take node id {new_id}")
        self._link.tell([codec.reboot(new_id, RebootAction.SAVE)])
        beat = codec.frame_id(new_id, Command.HEARTBEAT)
        self._link.forget()
        if self._link.listen(_from(beat), REBOOT_NS) is None:
            raise DeviceError(f"axis {new_id} sends no heartbeat after saving its node id")

    def _check_firmware(self, node: int) -> None:
        """What 0.6 calls an address sets the node id in 0.5, even as a remote frame."""
        question = codec.ask(node, Command.GET_VERSION)
        try:
            self._link.ask([question], _from(question.can_id), "version")
        except BusTimeout as error:
            raise DeviceError(
                f"axis {node} has firmware 0.5 or older, which keeps no node id set over CAN: "
                "set it over USB"
            ) from error

    def _serial_number(self, node: int) -> bytes:
        question = codec.ask(node, Command.ADDRESS)

        def answer(frame: CanFrame) -> Address | None:
            if frame.can_id != question.can_id or frame.remote or frame.extended:
                return None
            return codec.read_address(frame.data)

        what = f"axis {node} (address message; only firmware 0.6.8 and newer have it)"
        return self._link.ask([question], answer, what).serial_number


def _from(can_id: int) -> Callable[[CanFrame], CanFrame | None]:
    """Takes data frames of one id."""

    def take(frame: CanFrame) -> CanFrame | None:
        return frame if frame.can_id == can_id and not frame.remote else None

    return take


def _describe(node: int, heard: dict[int, bytes]) -> Found:
    version = codec.read_version(heard.get(Command.GET_VERSION, b""))
    firmware = version.firmware[:2] if version else FIRMWARE_WITHOUT_VERSION
    beat = codec.read_heartbeat(heard.get(Command.HEARTBEAT, b""))
    return Found(node, *_names(version), _state(beat, firmware))


def _names(version: Version | None) -> tuple[str, str]:
    if version is None:
        return "ODrive", "0.5 or older"
    product, revision, volts = version.hardware
    return f"ODrive hardware {product}.{revision}-{volts}V", ".".join(map(str, version.firmware))


def _state(beat: Heartbeat | None, firmware: tuple[int, ...]) -> str:
    if beat is None:
        return "no heartbeat"
    if beat.axis_error:
        return f"fault: {describe_axis_error(beat.axis_error, (firmware[0], firmware[1]))}"
    return "torque on" if beat.axis_state == AxisState.CLOSED_LOOP_CONTROL else "idle"
