"""The part of the contract that may be asked of real devices: nothing here moves a joint.

    pytest tests/contract/test_real_hardware.py --hil-port dynamixel=/dev/ttyUSB0=1-7

Torque goes on where the arm stands, and off again: support an arm that has no brakes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

from edge.commands.bus_ports import Line, chosen_ids, make_port, opened
from firmware_bridge.bus import JointBus
from firmware_bridge.joint_map import JointMap
from firmware_bridge.messages import SafeSetpoint
from firmware_bridge.protocols import BusOptions, ProtocolSpec, load_protocols
from tests.contract.test_every_protocol import read_patiently

READS = 20
STILL_RAD = 0.05  # an arm that holds gives way by less


class Hardware(NamedTuple):
    """Devices that ``--hil-port`` names."""

    spec: ProtocolSpec
    port: str
    ids: tuple[int, ...]

    def bus(self) -> JointBus:
        return self.spec.make_bus(self.port, JointMap(self.ids), BusOptions(watchdog_ms=0))


def parsed(text: str) -> Hardware:
    """PROTOCOL=PORT=IDS."""
    protocol, _, rest = text.partition("=")
    port, _, ids = rest.rpartition("=")
    spec = load_protocols()[protocol]
    return Hardware(spec, port, tuple(chosen_ids(ids, range(256))))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    named = [parsed(text) for text in metafunc.config.getoption("--hil-port")]
    ids = [f"{hardware.spec.name} on {hardware.port}" for hardware in named]
    if "hardware" in metafunc.fixturenames:
        metafunc.parametrize("hardware", named, ids=ids, indirect=True)


@pytest.fixture
def hardware(request: pytest.FixtureRequest) -> Hardware:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def bus(hardware: Hardware) -> Iterator[JointBus]:
    made = hardware.bus()
    made.open()
    yield made
    made.close()


def test_every_device_is_found_by_a_scan(hardware: Hardware) -> None:
    assert hardware.spec.toolbox is not None
    with opened(make_port(hardware.spec, Line(hardware.spec.name, hardware.port))) as port:
        tools = hardware.spec.toolbox().make_tools(port)
        found = tools.scan(hardware.ids)
    assert tuple(device.device_id for device in found) == hardware.ids


def test_readings_are_recent_whole_and_apart(bus: JointBus, hardware: Hardware) -> None:
    states = [read_patiently(bus) for _ in range(READS)]
    for before, after in pairwise(states):
        assert before.stamp_ns < after.stamp_ns <= time.monotonic_ns()
    for state in states:
        assert state.position_rad.shape == (len(hardware.ids),)
        assert np.isfinite(state.position_rad).all() and np.isfinite(state.velocity_rad_s).all()


def test_only_a_safe_setpoint_is_sent(bus: JointBus, hardware: Hardware) -> None:
    with pytest.raises(TypeError, match="SafeSetpoint"):
        bus.write_setpoints(np.zeros(len(hardware.ids)))  # type: ignore[arg-type]
    nothing = np.full(len(hardware.ids), np.nan)
    with pytest.raises(ValueError, match="not finite"):
        bus.write_setpoints(SafeSetpoint(time.monotonic_ns(), nothing))


def test_enabling_holds_the_arm_where_it_stands(bus: JointBus) -> None:
    before = read_patiently(bus).position_rad
    bus.enable()
    try:
        for _ in range(READS):
            held = read_patiently(bus).position_rad
            bus.write_setpoints(SafeSetpoint(time.monotonic_ns(), held))
            np.testing.assert_allclose(held, before, atol=STILL_RAD)
    finally:
        bus.disable()
