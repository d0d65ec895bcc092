"""CANSimple frames: against cantools reading the message table, and against any bytes."""

from __future__ import annotations

import math
from importlib import resources

import cantools
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.errors import DeviceError
from firmware_bridge.joint_map import JointMap
from firmware_bridge.odrive import codec
from firmware_bridge.odrive.codec import Command, Heartbeat, Version
from firmware_bridge.odrive.dialect import ODriveDialect
from firmware_bridge.odrive.errors import WATCHDOG_0_5, WATCHDOG_0_6, describe_axis_error

TABLE = cantools.database.load_string(
    (resources.files("firmware_bridge.odrive") / "odrive.dbc").read_text()
)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def decoded(frame: CanFrame) -> dict[str, float]:
    return TABLE.decode_message(frame.can_id, frame.data, decode_choices=False)


@given(FLOATS, st.floats(-32, 32), st.floats(-32, 32))
def test_cantools_reads_our_position(turns: float, velocity: float, torque: float) -> None:
    values = decoded(codec.set_input_pos(0, turns, velocity, torque))
    assert values["Input_Pos"] == turns
    assert values["Vel_FF"] == pytest.approx(velocity, abs=0.00051)
    assert values["Torque_FF"] == pytest.approx(torque, abs=0.00051)


def test_feedforward_saturates_and_does_not_wrap() -> None:
    values = decoded(codec.set_input_pos(0, 0.0, 1000.0, -1000.0))
    assert values["Vel_FF"] == pytest.approx(32.767)
    assert values["Torque_FF"] == pytest.approx(-32.768)


@given(FLOATS, FLOATS)
def test_cantools_reads_our_estimates_velocities_and_currents(a: float, b: float) -> None:
    estimates = decoded(codec.encoder_estimates(0, a, b))
    assert estimates == {"Pos_Estimate": a, "Vel_Estimate": b}
    assert decoded(codec.set_input_vel(0, a, b)) == {"Input_Vel": a, "Input_Torque_FF": b}
    assert decoded(codec.iq(0, a, b)) == {"Iq_Setpoint": a, "Iq_Measured": b}


def test_cantools_reads_our_states_modes_and_versions() -> None:
    assert decoded(codec.set_axis_state(0, 8)) == {"Axis_Requested_State": 8}
    assert decoded(codec.set_controller_mode(0, 3, 1)) == {"Control_Mode": 3, "Input_Mode": 1}
    assert decoded(codec.clear_errors(0)) == {"Identify": 0}
    beat = decoded(codec.heartbeat_0_6(0, Heartbeat(0x40, 8)))
    assert (beat["Axis_Error"], beat["Axis_State"]) == (0x40, 8)
    version = decoded(codec.version(0, Version((4, 4, 58), (0, 6, 11))))
    assert (version["Fw_Version_Minor"], version["Hw_Version_Variant"]) == (6, 58)


@given(st.integers(0, codec.MAX_NODE), st.sampled_from(list(Command)))
def test_an_id_holds_node_and_command(node: int, command: Command) -> None:
    assert codec.split_id(codec.frame_id(node, command)) == (node, command)


@given(st.integers(0, 0x7FF), st.binary(max_size=8), st.booleans(), st.booleans())
def test_no_frame_upsets_the_dialect_or_makes_a_joint_not_finite(
    can_id: int, data: bytes, extended: bool, remote: bool
) -> None:
    dialect = ODriveDialect(JointMap((0, 1, 5)), with_currents=False)
    dialect.accept(CanFrame(can_id, data, extended, remote))
    assert np.isfinite(dialect.measured().position_rad).all()


def test_both_heartbeats_are_read_and_an_error_is_named_by_firmware() -> None:
    for make, firmware, bit in (
        (codec.heartbeat_0_5, (0, 5), WATCHDOG_0_5),
        (codec.heartbeat_0_6, (0, 6), WATCHDOG_0_6),
    ):
        dialect = ODriveDialect(JointMap((3,)), with_currents=False)
        dialect.firmware[3] = firmware
        dialect.watched = True
        assert dialect.accept(make(3, Heartbeat(0, 8))) is None
        with pytest.raises(DeviceError, match="axis 3 reports: watchdog timer expired"):
            dialect.accept(make(3, Heartbeat(bit, 1)))


def test_an_axis_that_leaves_closed_loop_unasked_is_a_fault() -> None:
    dialect = ODriveDialect(JointMap((3,)), with_currents=False)
    dialect.accept(codec.heartbeat_0_6(3, Heartbeat(0, 1)))  # nobody had enabled it
    dialect.watched = True
    with pytest.raises(DeviceError, match="left closed loop control"):
        dialect.accept(codec.heartbeat_0_6(3, Heartbeat(0, 1)))


def test_unknown_error_bits_are_shown_as_a_code() -> None:
    assert describe_axis_error(0x10, (0, 5)) == "code 0x10"


def test_currents_are_unknown_unless_asked_for() -> None:
    dialect = ODriveDialect(JointMap((0,), (-1,)), with_currents=False)
    assert dialect.accept(codec.encoder_estimates(0, 0.25, 1.0)) == 0
    assert math.isnan(dialect.measured().current_ma[0])
    assert dialect.measured().position_rad[0] == pytest.approx(-math.pi / 2)
