"""The tools of a protocol: asking single devices, and naming what passes on its line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from firmware_bridge.devices import DeviceTools, FrameDecoder, StreamDecoder


@dataclass(frozen=True, slots=True)
class Toolbox:
    """``make_tools`` takes an open transport. A CAN protocol has a ``FrameDecoder``, a serial one a
    ``StreamDecoder``. ``make_keyed_tools`` takes a key too, where a protocol has such.
    """

    make_tools: Callable[[Any], DeviceTools]
    make_decoder: Callable[[], FrameDecoder | StreamDecoder]
    make_keyed_tools: Callable[[Any, bytes], DeviceTools] | None = None


def dynamixel() -> Toolbox:
    """For Dynamixel servos."""
    from firmware_bridge.dynamixel.tools import DynamixelTools
    from firmware_bridge.dynamixel.trace import DynamixelDecoder

    return Toolbox(DynamixelTools, DynamixelDecoder)


def feetech() -> Toolbox:
    """For Feetech servos."""
    from firmware_bridge.feetech.tools import FeetechTools
    from firmware_bridge.feetech.trace import FeetechDecoder

    return Toolbox(FeetechTools, FeetechDecoder)


def odrive() -> Toolbox:
    """For ODrive axes."""
    from firmware_bridge.odrive.tools import ODriveTools
    from firmware_bridge.odrive.trace import ODriveDecoder

    return Toolbox(ODriveTools, ODriveDecoder)


def damiao() -> Toolbox:
    """For Damiao motors."""
    from firmware_bridge.damiao.tools import DamiaoTools
    from firmware_bridge.damiao.trace import DamiaoDecoder

    return Toolbox(DamiaoTools, DamiaoDecoder)


def moteus() -> Toolbox:
    """For moteus servos."""
    from firmware_bridge.moteus.tools import MoteusTools
    from firmware_bridge.moteus.trace import MoteusDecoder

    return Toolbox(MoteusTools, MoteusDecoder)


def cia402() -> Toolbox:
    """For CANopen drives."""
    from firmware_bridge.cia402.tools import Cia402Tools
    from firmware_bridge.cia402.trace import Cia402Decoder

    return Toolbox(Cia402Tools, Cia402Decoder)


def oatlink() -> Toolbox:
    """For the oatlink controller on a serial line."""
    from firmware_bridge.oatlink.tools import serial_tools
    from firmware_bridge.oatlink.trace import OatlinkDecoder

    return Toolbox(serial_tools, OatlinkDecoder, serial_tools)


def oatlink_fd() -> Toolbox:
    """For oatlink controllers on CAN-FD."""
    from firmware_bridge.oatlink.tools import can_fd_tools
    from firmware_bridge.oatlink.trace import OatlinkFdDecoder

    return Toolbox(can_fd_tools, OatlinkFdDecoder, can_fd_tools)
