"""Errors of the bridge.

BridgeError
├── PortError        the port is missing, busy or not ours to open
├── ProtocolError    bytes that break the protocol (bad CRC, wrong length, wrong id)
├── BusTimeout       a device did not answer in time
└── DeviceError      a device answered with an error or an impossible value
"""

from __future__ import annotations


class BridgeError(Exception):
    """Anything that goes wrong between the runtime and the motors."""


class PortError(BridgeError):
    """The port is missing, busy or not ours to open; the message names it."""


class ProtocolError(BridgeError):
    """Bytes that break the protocol."""


class BusTimeout(BridgeError):  # noqa: N818 - the word that people say
    """A device did not answer in time; the message names the ids that are missing."""


class DeviceError(BridgeError):
    """A device answered with an error or an impossible value."""
