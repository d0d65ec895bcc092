"""The buses of a robot.yaml: which protocol on which port, and what may be set for each."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from edge.schema import Finite, Name, Strict

EMULATED = "emulated"  # a port of this name: ``oat-edge run`` starts the emulator and fills it in
DEFAULT_RATE = 1_000_000  # baud, or bit/s

# The protocols that come with the package and their wires: known without importing any of them.
BUILT_IN_WIRES = {
    "cia402": "can",
    "damiao": "can",
    "dynamixel": "serial",
    "feetech": "serial",
    "moteus": "can-fd",
    "oatlink": "serial",
    "oatlink_fd": "can-fd",
    "odrive": "can",
}
OATLINKS = ("oatlink", "oatlink_fd")
# Settings that not every protocol has, and which of them, or which wires, have it.
_OWNERS = {
    "controller": OATLINKS,
    "lead_ms": OATLINKS,
    "key_file": OATLINKS,
    "node": ("oatlink_fd",),
    "fast_sync_read": ("dynamixel", *OATLINKS),
    "baud": ("serial",),
    "bitrate": ("can", "can-fd"),
    "data_bitrate": ("can-fd",),
}
_LACKING = {"feetech": "watchdog_ms"}  # its servos hold their last goal, whoever is silent


class Bus(Strict):
    """One bus. ``port`` is an address, or ``emulated`` for devices in front of the plant.

    An address is a device path for a protocol on a serial line, and ``interface:channel`` for one
    on CAN, as in ``socketcan:can0``: any interface of python-can. ``baud`` is the serial line's
    rate, ``bitrate`` and ``data_bitrate`` are CAN's.
    ``watchdog_ms``: how long a silence stops the devices, for those that can be told; left out, the
    protocol's own.
    ``read_budget_us`` bounds a reading. Where there are several buses, a tick waits so long for
    this one and no longer; left out, 60 % of the tick there.

    ``oatlink``: a controller of ours in front of Dynamixel servos. ``controller`` is what stands in
    for it when emulated, ``lead_ms`` how long after its tick a setpoint is to be reached.
    ``key_file``: a file with the link's key (see ``firmware_bridge.oatlink.key_file``), relative to
    the robot.yaml. ``oatlink_fd`` is the same on CAN-FD, to the controller of a ``node``.
    """

    protocol: Name
    port: str = Field(min_length=1)
    controller: Literal["qemu", "host"] = "qemu"
    lead_ms: Finite = Field(default=12, gt=0, le=100)
    key_file: str | None = Field(default=None, min_length=1)
    node: int = Field(default=0, ge=0, le=15)
    baud: int = Field(default=DEFAULT_RATE, ge=9_600, le=4_500_000)
    bitrate: int = Field(default=DEFAULT_RATE, ge=10_000, le=1_000_000)
    data_bitrate: int = Field(default=5_000_000, ge=1_000_000, le=8_000_000)
    fast_sync_read: bool = True
    watchdog_ms: int | None = Field(default=None, ge=20, le=2_540)
    read_budget_us: int | None = Field(default=None, ge=100, le=100_000)

    @property
    def wire(self) -> str:
        """``serial``, ``can`` or ``can-fd``."""
        return BUILT_IN_WIRES.get(self.protocol) or _installed()[self.protocol]

    @property
    def is_can(self) -> bool:
        """Whether it runs on CAN."""
        return self.wire != "serial"

    @model_validator(mode="after")
    def _protocol_is_known(self) -> Bus:
        if self.protocol not in BUILT_IN_WIRES and self.protocol not in _installed():
            have = ", ".join(sorted({**BUILT_IN_WIRES, **_installed()}))
            raise ValueError(f"protocol is {self.protocol!r}, allowed are {have}")
        return self

    @model_validator(mode="after")
    def _settings_fit_the_protocol(self) -> Bus:
        for key, owners in _OWNERS.items():
            if key in self.model_fields_set and not {self.protocol, self.wire} & set(owners):
                raise ValueError(
                    f"{key} is {getattr(self, key)!r}: {self.protocol} has no such setting, "
                    f"only {', '.join(owners)}"
                )
        lacking = _LACKING.get(self.protocol, "")
        if lacking in self.model_fields_set:
            raise ValueError(f"{lacking}: {self.protocol} has no such setting")
        return self

    @model_validator(mode="after")
    def _emulation_is_possible(self) -> Bus:
        if self.port != EMULATED:
            return self
        if self.protocol == "oatlink_fd":
            raise ValueError("port is 'emulated': name the port of `oat-edge emulate oatlink_fd`")
        if self.key_file is not None and self.controller == "qemu":
            raise ValueError("key_file: the qemu controller has no room for a key, allowed is host")
        return self

    @model_validator(mode="after")
    def _port_is_an_address(self) -> Bus:
        interface, colon, channel = self.port.partition(":")
        if self.is_can and self.port != EMULATED and not (interface and colon and channel):
            raise ValueError(
                f"port is {self.port!r}: {self.protocol} runs on CAN, allowed is "
                "interface:channel, as in socketcan:can0"
            )
        return self


def _installed() -> dict[str, str]:
    """Wires of all installed protocols, those of other packages among them."""
    from firmware_bridge.protocols import load_protocols

    return {name: spec.wire for name, spec in load_protocols().items()}
