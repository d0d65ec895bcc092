"""Damiao frames: bits as the manual draws them, and echoes that are no positions."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.damiao import codec
from firmware_bridge.damiao.codec import (
    Access,
    Feedback,
    MitCommand,
    Ranges,
    Register,
    RegisterAnswer,
    Special,
)
from firmware_bridge.damiao.dialect import DamiaoDialect
from firmware_bridge.emulation.damiao_motor import DamiaoMotor
from firmware_bridge.errors import DeviceError
from firmware_bridge.joint_map import JointMap

RANGES = Ranges(12.5, 30.0, 10.0)
STEPS = (25.0 / 65535, 60.0 / 4095, 500.0 / 4095, 5.0 / 4095, 20.0 / 4095)


def dialect() -> DamiaoDialect:
    return DamiaoDialect(JointMap((1, 2)), 0x10, (30.0, 30.0), (1.0, 1.0))


def test_a_command_is_packed_as_the_manual_draws_it() -> None:
    """Lowest, middle and highest codes of each field, by hand."""
    low = codec.mit_command(1, MitCommand(-12.5, -30.0, 0.0, 0.0, -10.0), RANGES)
    assert low == CanFrame(1, bytes(8))
    high = codec.mit_command(1, MitCommand(12.5, 30.0, 500.0, 5.0, 10.0), RANGES)
    assert high.data == b"\xff" * 8
    mixed = codec.mit_command(1, MitCommand(12.5, -30.0, 500.0, 0.0, 10.0), RANGES)
    assert mixed.data == bytes.fromhex("ffff000fff000fff")


COMMANDS = st.builds(
    MitCommand,
    st.floats(-13, 13),
    st.floats(-31, 31),
    st.floats(0, 501),
    st.floats(0, 6),
    st.floats(-11, 11),
)


@given(COMMANDS)
def test_a_command_comes_back_within_half_a_step_or_at_the_end_of_its_range(
    command: MitCommand,
) -> None:
    found = codec.read_mit_command(codec.mit_command(3, command, RANGES).data, RANGES)
    lows = (-12.5, -30.0, 0.0, 0.0, -10.0)
    highs = (12.5, 30.0, 500.0, 5.0, 10.0)
    for value, back, low, high, step in zip(command, found, lows, highs, STEPS, strict=True):
        assert abs(min(max(value, low), high) - back) <= step / 2 + 1e-9


@given(st.integers(1, 15), st.integers(1, 15), st.floats(-12.4, 12.4), st.floats(-29, 29))
def test_feedback_comes_back(motor_id: int, state: int, position: float, velocity: float) -> None:
    frame = codec.feedback(0x11, motor_id, Feedback(state, position, velocity, 1.0), RANGES)
    found = codec.read_feedback(motor_id, frame.data, RANGES)
    assert found is not None and found.state == state
    assert found.position == pytest.approx(position, abs=STEPS[0])
    assert found.velocity == pytest.approx(velocity, abs=STEPS[1])
    assert codec.read_feedback(motor_id % 15 + 1, frame.data, RANGES) is None


@pytest.mark.parametrize("access", [Access.READ, Access.WRITE])
@pytest.mark.parametrize("register", list(Register))
def test_a_registers_echo_is_never_taken_for_a_position(access: Access, register: Register) -> None:
    answer = RegisterAnswer(access, register, struct.pack("<f", 12.5))
    frame = codec.register_answer(0x11, 1, answer)
    assert codec.read_feedback(1, frame.data, RANGES) is None
    assert codec.read_register_answer(1, frame.data) == answer
    asked = dialect()
    before = asked.measured().position_rad
    assert asked.accept(frame) is None
    np.testing.assert_array_equal(asked.measured().position_rad, before)


def test_an_enabled_motors_feedback_is_never_taken_for_an_echo() -> None:
    for code in range(0x10000):
        position = codec.from_bits(code, -12.5, 12.5, 16)
        frame = codec.feedback(0x11, 1, Feedback(codec.ENABLED, position, 0.0, 0.0), RANGES)
        if codec.read_register_answer(1, frame.data) is not None:
            raise AssertionError(f"position code {code:#x} reads as an echo")


@given(st.integers(0, 0x7FF), st.binary(max_size=8), st.booleans(), st.booleans())
def test_no_frame_upsets_the_dialect(can_id: int, data: bytes, wide: bool, remote: bool) -> None:
    asked = dialect()
    asked.accept(CanFrame(can_id, data, wide, remote))
    assert np.isfinite(asked.measured().position_rad).all()


@given(st.integers(0, 0x7FF), st.binary(max_size=8), st.booleans())
def test_no_frame_upsets_the_emulated_motor(can_id: int, data: bytes, remote: bool) -> None:
    motor = DamiaoMotor(0, 1)
    motor.hear(CanFrame(can_id, data, remote=remote))
    assert math.isfinite(motor.goal_rad)


@pytest.mark.parametrize(("state", "name"), [(0xD, "lost communication"), (0x0, "disabled")])
def test_a_motor_that_stopped_by_itself_is_a_fault_while_watched(state: int, name: str) -> None:
    asked = dialect()
    frame = codec.feedback(0x12, 2, Feedback(state, 1.0, 0.0, 0.0), RANGES)
    assert asked.accept(frame) == 1
    asked.watched = True
    with pytest.raises(DeviceError, match=f"motor 2 reports: {name}"):
        asked.accept(frame)


def test_special_commands_are_the_manuals() -> None:
    assert codec.special(5, Special.ENABLE) == CanFrame(5, bytes.fromhex("fffffffffffffffc"))
    assert codec.special(5, Special.DISABLE).data[-1] == 0xFD
    assert codec.refresh(5) == CanFrame(0x7FF, bytes.fromhex("0500cc0000000000"))
