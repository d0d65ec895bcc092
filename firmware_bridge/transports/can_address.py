"""CAN ports by address: ``interface:channel?key=value&key=value``.

Every interface that python-can knows (also by plug-in) can be named: ``socketcan:can0``,
``slcan:/dev/ttyACM0``, ``slcan:/dev/ttyUSB0@2000000``, ``pcan:PCAN_USBBUS1``, ``kvaser:0``,
``oatcan:demo``. What stands behind the question mark goes to the interface as it is.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from firmware_bridge.errors import PortError
from firmware_bridge.transports.can_port import PythonCanPort

FORM = "interface:channel, as in socketcan:can0 or slcan:/dev/ttyACM0"
FD_BY_TIMING = ("pcan", "slcan")  # these take bit rates of CAN FD as a whole timing only
FD_CLOCK_HZ = 80_000_000
SAMPLE_POINT, DATA_SAMPLE_POINT = 80.0, 75.0  # percent of a bit
CAN_BE_SILENT = ("oatcan", "slcan")  # the others by their own configuration


def is_can_address(address: str) -> bool:
    """Tell an address of this form from a device's path."""
    interface, colon, channel = address.partition(":")
    return bool(colon and channel and interface.isidentifier())


def can_port(
    address: str, bitrate: int, data_bitrate: int | None = None, silent: bool = False
) -> PythonCanPort:
    """A port, not opened yet; with CAN FD where ``data_bitrate`` [bit/s] is given.

    ``silent`` keeps it from acknowledging frames. Raises ``PortError`` naming the address and what
    is allowed.
    """
    plain, _, query = address.partition("?")
    if not is_can_address(plain):
        raise PortError(f"port {address!r} is not {FORM}")
    interface, _, channel = plain.partition(":")
    _check_known(interface, address)
    options: dict[str, Any] = {}
    if silent:
        options["listen_only"] = _silence(interface, address)
    if data_bitrate is not None and interface in FD_BY_TIMING:
        options["timing"] = _fd_timing(bitrate, data_bitrate, address)
    options |= {key: _value(text) for key, text in parse_qsl(query)}
    return PythonCanPort(interface, channel, bitrate, data_bitrate, options)


def _check_known(interface: str, address: str) -> None:
    try:
        import can
    except ModuleNotFoundError as error:
        raise PortError("CAN needs python-can: pip install 'oat-edge[can]'") from error
    if interface not in can.VALID_INTERFACES:
        known = ", ".join(sorted(can.VALID_INTERFACES))
        raise PortError(f"port {address!r}: interface {interface!r} is not known (known: {known})")


def _silence(interface: str, address: str) -> bool:
    if interface not in CAN_BE_SILENT:
        able = ", ".join(CAN_BE_SILENT)
        raise PortError(f"port {address!r} cannot be silent (those that can: {able})")
    return True


def _fd_timing(bitrate: int, data_bitrate: int, address: str) -> Any:
    import can

    try:
        return can.BitTimingFd.from_sample_point(
            f_clock=FD_CLOCK_HZ,
            nom_bitrate=bitrate,
            nom_sample_point=SAMPLE_POINT,
            data_bitrate=data_bitrate,
            data_sample_point=DATA_SAMPLE_POINT,
        )
    except ValueError as error:
        raise PortError(f"port {address!r}: {bitrate}/{data_bitrate} bit/s: {error}") from error


def _value(text: str) -> bool | int | float | str:
    """What a text in an address means."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
