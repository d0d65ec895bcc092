"""The emulated CiA 402 drive, driven by ``canopen``'s own 402 client over the simulated bus."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator

import canopen
import numpy as np
import pytest
from canopen.profiles.p402 import BaseNode402
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.cia402.dialect import Cia402Dialect
from firmware_bridge.cia402.dictionary import COUNTS_PER_TURN, object_dictionary
from firmware_bridge.cia402.objects import (
    EMERGENCY,
    HEARTBEAT_LOST,
    MOTION,
    SYNC_ID,
    Controlword,
    DriveState,
    Object,
    drive_state,
)
from firmware_bridge.emulation.cia402_drive import Cia402Drive
from firmware_bridge.errors import DeviceError
from firmware_bridge.joint_map import JointMap
from tests.contract.rigs import Cia402Rig, short_runtime_directory

PATIENCE_S = 10.0
MS = 1_000_000


@pytest.fixture(autouse=True)
def runtime_directory() -> Iterator[None]:
    with short_runtime_directory():
        yield


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.01)
    return False


def test_canopens_402_client_brings_the_drive_up_and_moves_it() -> None:
    rig = Cia402Rig()
    network = canopen.Network()
    network.connect(interface="oatcan", channel=rig.channel.name, bitrate=1_000_000)
    try:
        node = BaseNode402(2, object_dictionary(2))
        network.add_node(node)
        node.sdo.RESPONSE_TIMEOUT = PATIENCE_S
        node.nmt.state = "PRE-OPERATIONAL"
        node.rpdo[1].clear()
        node.rpdo[1].add_variable(Object.CONTROLWORD)
        node.rpdo[1].add_variable(Object.TARGET_POSITION)
        node.rpdo[1].trans_type, node.rpdo[1].enabled, node.rpdo[1].cob_id = 1, True, 0x202
        node.rpdo[1].save()
        node.tpdo[1].clear()
        node.tpdo[1].add_variable(Object.STATUSWORD)
        node.tpdo[1].add_variable(Object.POSITION_ACTUAL)
        node.tpdo[1].trans_type, node.tpdo[1].enabled, node.tpdo[1].cob_id = 1, True, 0x182
        node.tpdo[1].save()
        node.nmt.state = "OPERATIONAL"
        node.sdo[Object.MODES_OF_OPERATION].raw = 8
        for word, state in ((6, "READY"), (7, "SWITCHED"), (15, "OPERATION")):
            node.sdo[Object.CONTROLWORD].raw = word
            status = node.sdo[Object.STATUSWORD].raw
            assert drive_state(status).name.startswith(state)
        assert node.sdo[Object.SUPPORTED_DRIVE_MODES].raw & 1 << 7
        target = COUNTS_PER_TURN // 50
        node.rpdo[1].map[0].raw = 15
        node.rpdo[1].map[1].raw = target

        def has_arrived() -> bool:
            node.rpdo[1].transmit()
            network.sync.transmit()
            return abs(node.tpdo[1].map[1].raw - target) < 20

        assert eventually(has_arrived)
        assert rig.plant.position_rad[1] == pytest.approx(2 * np.pi / 50, abs=0.01)
    finally:
        network.disconnect()
        rig.close()


def test_states_are_read_from_statuswords_as_the_profile_says() -> None:
    for state in DriveState:
        mask, value = state.value
        assert drive_state(value) is state
        assert drive_state(value | 0xFFFF & ~mask & ~0x10 | 0x10) is state


def drive() -> Cia402Drive:
    made = Cia402Drive(0, 1)
    made.tick(0)
    return made


def control(made: Cia402Drive, word: int) -> DriveState:
    data = struct.pack("<BHBI", 0x2B, Object.CONTROLWORD, 0, word)
    made.hear(CanFrame(0x601, data, stamp_ns=1))
    return made.state


def test_the_ladder_cannot_be_jumped() -> None:
    made = drive()
    assert control(made, Controlword.ENABLE_OPERATION) is DriveState.SWITCH_ON_DISABLED
    assert control(made, Controlword.SHUTDOWN) is DriveState.READY_TO_SWITCH_ON
    assert control(made, Controlword.SWITCH_ON) is DriveState.SWITCHED_ON
    assert not made.has_torque
    assert control(made, Controlword.ENABLE_OPERATION) is DriveState.OPERATION_ENABLED
    assert made.has_torque
    assert control(made, Controlword.QUICK_STOP) is DriveState.QUICK_STOP_ACTIVE
    assert made.has_torque
    assert control(made, Controlword.DISABLE_VOLTAGE) is DriveState.SWITCH_ON_DISABLED
    assert not made.has_torque


def test_a_fault_needs_a_rising_edge_to_go() -> None:
    made = drive()
    control(made, Controlword.FAULT_RESET)
    made.fail(0x3210)
    assert control(made, Controlword.FAULT_RESET) is DriveState.FAULT
    assert control(made, Controlword.DISABLE_VOLTAGE) is DriveState.FAULT
    assert control(made, Controlword.FAULT_RESET) is DriveState.SWITCH_ON_DISABLED


def test_a_host_without_heartbeat_stops_the_drive_where_it_is() -> None:
    made = drive()
    made.hold()
    entry = struct.pack("<BHBI", 0x23, Object.CONSUMER_HEARTBEAT, 1, 127 << 16 | 100)
    made.hear(CanFrame(0x601, entry, stamp_ns=0))
    made.hear(CanFrame(0x77F, b"\x05", stamp_ns=50 * MS))
    made.tick(150 * MS)
    assert made.state is DriveState.OPERATION_ENABLED
    frames = made.tick(150 * MS + 1)
    assert made.state is DriveState.QUICK_STOP_ACTIVE and made.has_torque
    emergencies = [f for f in frames if f.can_id == 0x81]
    assert EMERGENCY.unpack(emergencies[0].data)[0] == HEARTBEAT_LOST


def test_targets_act_at_sync_and_not_before() -> None:
    made = drive()
    made.hold()
    made.hear(CanFrame(0x201, struct.pack("<Hi", 15, 1000), stamp_ns=1))
    assert made.goal_rad == 0.0
    answers = made.hear(CanFrame(SYNC_ID, stamp_ns=2))
    assert made.goal_rad == pytest.approx(1000 * 2 * np.pi / COUNTS_PER_TURN)
    assert [(f.can_id, len(f.data)) for f in answers] == [(0x181, MOTION.size)]


@given(st.integers(0, 0x7FF), st.binary(max_size=8), st.booleans(), st.booleans())
def test_no_frame_upsets_the_dialect(can_id: int, data: bytes, wide: bool, remote: bool) -> None:
    dialect = Cia402Dialect(JointMap((1, 2)), 127, 25)
    dialect.accept(CanFrame(can_id, data, wide, remote))
    assert np.isfinite(dialect.measured().position_rad).all()


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (CanFrame(0x81, EMERGENCY.pack(0x3210, 1, bytes(5))), "drive 1 reports: emergency 0x3210"),
        (CanFrame(0x281, struct.pack("<H", 0x08)), "drive 1 left operation: fault"),
        (CanFrame(0x701, b"\0"), "drive 1 has started anew"),
    ],
)
def test_what_ends_operation_is_a_fault_while_watched(frame: CanFrame, reason: str) -> None:
    dialect = Cia402Dialect(JointMap((1,)), 127, 25)
    assert dialect.accept(frame) is None
    dialect.watched = True
    with pytest.raises(DeviceError, match=reason):
        dialect.accept(frame)
