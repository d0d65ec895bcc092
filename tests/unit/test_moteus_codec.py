"""moteus frames: against the maker's package, and against any bytes."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator

import moteus
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moteus import multiplex
from moteus.protocol import parse_reply, scale_register
from moteus.pythoncan_device import PythonCanDevice

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.emulation.moteus_servo import MoteusServo
from firmware_bridge.errors import DeviceError
from firmware_bridge.joint_map import JointMap
from firmware_bridge.moteus import codec
from firmware_bridge.moteus.codec import ANSWER, READ, WRITE, Mode, Register, Width
from firmware_bridge.moteus.dialect import QUESTION, MoteusDialect
from tests.contract.rigs import MoteusRig, short_runtime_directory

TURNS = st.floats(-100, 100, width=32)
QUERY = moteus.QueryResolution()
QUERY.position = moteus.F32
QUERY.velocity = moteus.INT16
QUERY.torque = moteus.INT16
QUERY.q_current = moteus.INT16
QUERY.voltage = QUERY.temperature = moteus.IGNORE


@pytest.fixture(autouse=True)
def runtime_directory() -> Iterator[None]:
    with short_runtime_directory():
        yield


def dialect(watchdog_s: float = 0.1) -> MoteusDialect:
    return MoteusDialect(JointMap((1, 9)), watchdog_s)


@given(TURNS, st.floats(0.0625, 10, width=32))
def test_a_command_says_to_the_maker_what_it_says_to_us(turns: float, timeout_s: float) -> None:
    frame = dialect(timeout_s).command(9, turns)
    theirs = list(multiplex.parse_frame(frame.data))
    written = {s.register: s.value for s in theirs if s.type is multiplex.SubframeType.WRITE}
    assert written == {0x000: 10, 0x020: turns, 0x027: timeout_s}
    asked = [s.register for s in theirs if s.type is multiplex.SubframeType.READ]
    assert asked == [0x000, 0x001, 0x002, 0x003, 0x004, 0x00F]
    assert frame.can_id == 0x8009 and frame.extended and frame.fd and frame.switch_rate


@given(TURNS)
def test_our_bytes_for_a_position_are_the_makers(turns: float) -> None:
    controller = moteus.Controller(id=1, transport=object())
    theirs = controller.make_position(position=turns, watchdog_timeout=0.25).data
    ours = dialect(0.25).command(1, turns).data
    assert ours.startswith(theirs[:15])


@given(TURNS, st.floats(-5, 5), st.floats(-20, 20))
def test_the_maker_reads_the_emulated_servos_answer(
    turns: float, turns_s: float, amperes: float
) -> None:
    servo = MoteusServo(0, 1)
    servo.position_rad = turns * 2 * math.pi
    servo.velocity_rad_s = turns_s * 2 * math.pi
    servo.current_ma = amperes * 1000
    (answer,) = servo.hear(codec.frame(codec.command_id(1), QUESTION))
    theirs = parse_reply(answer.data)
    assert theirs[moteus.Register.POSITION] == pytest.approx(turns, rel=1e-6, abs=1e-6)
    assert theirs[moteus.Register.VELOCITY] == pytest.approx(turns_s, abs=0.00013)
    assert theirs[moteus.Register.Q_CURRENT] == pytest.approx(amperes, abs=0.051)
    ours = dialect()
    assert ours.accept(answer) == 0
    assert ours.measured().position_rad[0] == pytest.approx(servo.position_rad, abs=1e-4)
    assert ours.measured().velocity_rad_s[0] == pytest.approx(servo.velocity_rad_s, abs=1e-3)


def test_the_makers_query_is_answered_in_any_resolution() -> None:
    servo = MoteusServo(0, 3)
    servo.position_rad = math.pi
    for resolution, exact in ((moteus.INT8, 0.01), (moteus.INT16, 1e-4), (moteus.INT32, 1e-5)):
        query = moteus.QueryResolution()
        query.position = resolution
        data = moteus.Controller(id=3, transport=object(), query_resolution=query).make_query().data
        (answer,) = servo.hear(codec.frame(codec.command_id(3), data))
        values = parse_reply(answer.data)
        assert values[moteus.Register.POSITION] == pytest.approx(0.5, abs=exact)
        assert values[moteus.Register.MODE] == Mode.STOPPED
        assert values[moteus.Register.VOLTAGE] == pytest.approx(24.0)


def test_the_makers_client_moves_the_emulated_servos_over_the_simulated_bus() -> None:
    async def drive(channel: str) -> tuple[float, int, int]:
        device = PythonCanDevice(interface="oatcan", channel=channel)
        transport = moteus.Transport([device])
        servo = moteus.Controller(id=2, transport=transport, query_resolution=QUERY)
        await servo.set_stop()
        end = time.monotonic() + 10.0
        while time.monotonic() < end:
            state = await servo.set_position(position=0.05, watchdog_timeout=math.nan, query=True)
            if abs(state.values[moteus.Register.POSITION] - 0.05) < 1e-3:
                break
        position = state.values[moteus.Register.POSITION]
        mode = state.values[moteus.Register.MODE]
        stopped = await servo.set_stop(query=True)
        device.close()
        return position, mode, stopped.values[moteus.Register.MODE]

    rig = MoteusRig()
    try:
        position, mode, after = asyncio.run(asyncio.wait_for(drive(rig.channel.name), 20.0))
    finally:
        rig.close()
    assert (mode, after) == (Mode.POSITION, Mode.STOPPED)
    assert position == pytest.approx(0.05, abs=1e-3)


@given(
    st.sampled_from([WRITE, ANSWER]),
    st.sampled_from(list(Width)),
    st.sampled_from([Register.POSITION, Register.VELOCITY, Register.TORQUE]),
    st.floats(-1.2, 1.2),
)
def test_a_value_is_read_alike_by_both(
    kind: int, width: Width, register: int, value: float
) -> None:
    data = codec.header(kind, width, register, 1) + codec.pack(width, register, value)
    (ours,) = codec.parse(data)
    (theirs,) = multiplex.parse_frame(data)
    assert theirs.value == codec.FORMS[width].unpack_from(data, 2)[0]
    assert ours.value == pytest.approx(scale_register(register, width, theirs.value), abs=1e-9)
    assert ours.value == pytest.approx(value, abs=0.26)


@given(st.binary(max_size=64))
def test_no_bytes_upset_the_parser_the_servo_or_the_dialect(data: bytes) -> None:
    for subframe in codec.parse(data):
        assert subframe.kind in (READ, WRITE, ANSWER)
    padded = data + bytes((codec.NOP,)) * (-len(data) % 64)
    MoteusServo(0, 1).hear(CanFrame(0x8001, padded, True, fd=True))
    ours = dialect()
    ours.accept(CanFrame(0x100, padded, fd=True))
    assert np.isfinite(ours.measured().position_rad).all()


def test_a_servo_out_of_position_mode_is_a_fault_while_watched() -> None:
    servo = MoteusServo(0, 1)
    servo.fail(38)
    (answer,) = servo.hear(codec.frame(codec.command_id(1), QUESTION))
    ours = dialect()
    ours.accept(answer)
    ours.watched = True
    with pytest.raises(DeviceError, match="servo 1 reports: over-temperature"):
        ours.accept(answer)


def test_the_watchdog_latches_until_the_servo_is_stopped() -> None:
    servo = MoteusServo(0, 1)
    command = dialect(0.125).command(1, 0.25)._replace(stamp_ns=0)
    servo.hear(command)
    servo.tick(125_000_000)
    assert servo.mode == Mode.POSITION
    servo.tick(125_000_001)
    assert servo.mode == Mode.TIMEOUT and servo.has_torque
    servo.hear(command)
    assert servo.mode == Mode.TIMEOUT
    stop = codec.header(WRITE, Width.INT8, Register.MODE, 1) + bytes((Mode.STOPPED,))
    servo.hear(codec.frame(codec.command_id(1), stop))
    servo.hear(command)
    assert servo.mode == Mode.POSITION
