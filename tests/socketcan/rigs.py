"""Rigs of the contract suite on real SocketCAN and a real USB serial driver."""

from __future__ import annotations

from firmware_bridge.oatlink import OatlinkConfig, SerialLine
from firmware_bridge.oatlink.lines import PayloadLine
from firmware_bridge.transports.serial_port import SerialPort
from tests.contract.oatlink_rigs import OatlinkFdRig, OatlinkRig
from tests.contract.rigs import (
    BAUD,
    CanRig,
    Cia402Rig,
    DamiaoRig,
    DynamixelRig,
    FeetechRig,
    MoteusRig,
    ODrive05Rig,
    ODriveRig,
    PortClient,
)
from tests.socketcan import hardware


class VirtualWire:
    """A kernel's own CAN bus: near and far end are sockets on one interface."""

    interface = "socketcan"
    near = far = hardware.VIRTUAL_WIRE

    def __init__(self) -> None:
        self.name = self.near
        for name in {self.near, self.far}:
            hardware.ip("set", name, "up")

    def client(self, queue_length: int) -> PortClient:
        del queue_length
        return PortClient(self.interface, self.far)

    def close(self) -> None:
        for name in {self.near, self.far}:
            hardware.ip("set", name, "down")


class ControllerPair(VirtualWire):
    """Two controllers with drivers and interrupts on one wire.

    QEMU's model of the SJA1000 hands out nothing any more after one or two remote frames, so there
    is no ODrive here, which is asked by such frames. Nor is there CAN FD.
    """

    near, far = hardware.NEAR, hardware.FAR


def _on(rig: type[CanRig], channel: type[VirtualWire]) -> type[CanRig]:
    return type(f"{rig.__name__}On{channel.__name__}", (rig,), {"make_channel": channel})


class OnUsb:
    """Puts a serial rig behind the USB adapter."""

    def __init__(self, watchdog_ms: int = 0) -> None:
        super().__init__(watchdog_ms)  # type: ignore[call-arg]
        self._cable = hardware.Cable(self.path)
        self.path = hardware.plug_adapter()

    def unplug(self) -> None:
        hardware.pull_adapter()
        self.close()

    def close(self) -> None:
        self._cable.close()
        super().unplug()  # type: ignore[misc]


class DynamixelOnUsb(OnUsb, DynamixelRig):
    pass


class FeetechOnUsb(OnUsb, FeetechRig):
    pass


class OatlinkOnSocketcan(OatlinkFdRig):
    make_channel = VirtualWire


class OatlinkOnUsb(OatlinkRig):
    """The controller's host link goes through the USB adapter."""

    def __init__(self, watchdog_ms: int = 0) -> None:
        super().__init__(watchdog_ms)
        self._cable = hardware.Cable(self.controller.path)
        self._path = hardware.plug_adapter()

    def line(self, config: OatlinkConfig) -> PayloadLine:
        del config
        return SerialLine(SerialPort(self._path, BAUD))

    def unplug(self) -> None:
        hardware.pull_adapter()
        self.close()

    def close(self) -> None:
        self._cable.close()
        super().unplug()


REAL_RIGS = {
    "odrive-0.6 on socketcan": _on(ODriveRig, VirtualWire),
    "odrive-0.5 on socketcan": _on(ODrive05Rig, VirtualWire),
    "damiao on socketcan": _on(DamiaoRig, VirtualWire),
    "moteus on socketcan (FD)": _on(MoteusRig, VirtualWire),
    "cia402 on socketcan": _on(Cia402Rig, VirtualWire),
    "damiao on socketcan (kvaser)": _on(DamiaoRig, ControllerPair),
    "cia402 on socketcan (kvaser)": _on(Cia402Rig, ControllerPair),
    "dynamixel on usb serial": DynamixelOnUsb,
    "feetech on usb serial": FeetechOnUsb,
}
REAL_OATLINK_RIGS = {
    "oatlink (C core) on socketcan (FD)": OatlinkOnSocketcan,
    "oatlink (C core) on usb serial": OatlinkOnUsb,
}
