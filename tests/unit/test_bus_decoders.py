"""What `bus monitor` makes of bytes and frames: names where they are known, never an error."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.commands.bus_lines import as_json_line, as_line
from firmware_bridge.can_bus.frame import FD_LENGTHS, CanFrame
from firmware_bridge.cia402 import lss
from firmware_bridge.damiao import codec as damiao
from firmware_bridge.devices import DEVICE, HOST, Decoded, StreamDecoder
from firmware_bridge.dynamixel import codec as dynamixel
from firmware_bridge.feetech import codec as feetech
from firmware_bridge.moteus import codec as moteus
from firmware_bridge.moteus import console
from firmware_bridge.odrive import codec as odrive
from firmware_bridge.odrive.codec import Command, Heartbeat
from firmware_bridge.protocols import load_protocols

SPECS = load_protocols()
CAN = sorted(name for name, spec in SPECS.items() if spec.is_can)
SERIAL = sorted(name for name, spec in SPECS.items() if not spec.is_can)


def decoder(name: str) -> Any:
    toolbox = SPECS[name].toolbox
    assert toolbox is not None
    return toolbox().make_decoder()


def shown(decoded: Decoded | None) -> tuple[str, int | None, str, dict[str, Any]]:
    assert decoded is not None
    return decoded.sender, decoded.device_id, decoded.name, decoded.fields


def test_a_dynamixel_answer_is_named_by_its_question() -> None:
    tap: StreamDecoder = decoder("dynamixel")
    (question,) = tap.feed(dynamixel.fast_sync_read(126, 10, [1, 2]), None)
    assert shown(question) == (
        HOST, None, "fast_sync_read", {"from": "present_current", "bytes": 10, "ids": [1, 2]}
    )  # fmt: skip
    data = struct.pack("<hii", -5, 7, 2100)
    answers = tap.feed(
        dynamixel.fast_sync_status([dynamixel.Status(i, 0, data) for i in (1, 2)]), None
    )
    fields = {"present_current": -5, "present_velocity": 7, "present_position": 2100}
    assert [shown(a) for a in answers] == [(DEVICE, i, "status", fields) for i in (1, 2)]


def test_a_sync_write_shows_each_goal() -> None:
    goals = {1: struct.pack("<i", 2048), 2: struct.pack("<i", -3)}
    (decoded,) = decoder("dynamixel").feed(dynamixel.sync_write(116, 4, goals), None)
    assert shown(decoded) == (HOST, None, "sync_write", {"goal_position": {"1": 2048, "2": -3}})


def test_dynamixel_errors_and_alerts_are_shown() -> None:
    (decoded,) = decoder("dynamixel").feed(dynamixel.status(3, 0x80 | 7), None)
    assert decoded.fields == {"error": "access", "alert": 1}


def test_damage_on_a_serial_line_is_counted_and_the_next_packet_found() -> None:
    tap = decoder("dynamixel")
    broken = bytearray(dynamixel.ping(1))
    broken[-1] ^= 1
    (decoded,) = tap.feed(bytes(broken) + b"noise" + dynamixel.ping(2), None)
    assert decoded.device_id == 2 and tap.damaged > 0


@pytest.mark.parametrize("sides_are_known", [True, False])
def test_a_feetech_answer_is_told_from_a_question(sides_are_known: bool) -> None:
    host, device = (HOST, DEVICE) if sides_are_known else (None, None)
    tap: StreamDecoder = decoder("feetech")
    (question,) = tap.feed(feetech.sync_read(56, 4, [1, 2]), host)
    assert question.fields == {"from": "present_position", "bytes": 4, "ids": [1, 2]}
    for servo_id in (1, 2):  # 2: the status bit of the angle sensor, and the number of READ
        (answer,) = tap.feed(feetech.encode(servo_id, 2, b"\x00\x08\x05\x80"), device)
        assert shown(answer) == (
            DEVICE, servo_id, "status",
            {"fault": "angle sensor", "present_position": 2048, "present_speed": -5},
        )  # fmt: skip
    (next_question,) = tap.feed(feetech.read(1, 56, 2), host)
    assert next_question.sender == HOST and next_question.name == "read"


def test_odrive_frames_show_their_signals_and_direction() -> None:
    tap = decoder("odrive")
    sent = tap.decode(odrive.set_input_pos(3, 0.5, 1.5, -0.25))
    fields = {"position_turns": 0.5, "velocity_ff": 1.5, "torque_ff": -0.25}
    assert shown(sent) == (HOST, 3, "set_input_pos", fields)
    beat = tap.decode(odrive.heartbeat_0_6(3, Heartbeat(0x40, 8)))
    assert shown(beat) == (DEVICE, 3, "heartbeat", {"axis_error": 0x40, "axis_state": 8})
    asked = tap.decode(odrive.ask(3, Command.GET_IQ))
    assert shown(asked) == (HOST, 3, "get_iq", {"remote": 1})
    own = tap.decode(odrive.address(odrive.Address(3, b"serial")))
    other = tap.decode(odrive.set_address(3, odrive.Address(9, b"serial")))
    assert own.sender == DEVICE and other.sender == HOST


def test_damiao_full_scale_is_learnt_from_the_motors_own_registers() -> None:
    tap = decoder("damiao")
    ranges = damiao.Ranges(3.0, 10.0, 5.0)
    for register, value in zip((21, 22, 23), ranges, strict=True):
        answer = damiao.RegisterAnswer(damiao.Access.READ, register, struct.pack("<f", value))
        echo = tap.decode(damiao.register_answer(0x12, 2, answer))
        assert echo.name == "read_echo" and echo.fields["value"] == value
    value = damiao.Feedback(1, 1.5, -2.0, 0.0)
    decoded = tap.decode(damiao.feedback(0x12, 2, value, ranges))
    assert decoded.name == "feedback" and decoded.fields["state"] == "enabled"
    assert decoded.fields["position"] == pytest.approx(1.5, abs=1e-3)
    command = damiao.MitCommand(1.0, 0.0, 30.0, 1.0, 0.0)
    assert tap.decode(damiao.mit_command(2, command, ranges)).name == "mit"
    assert tap.decode(damiao.special(2, damiao.Special.ENABLE)).name == "enable"


def test_moteus_frames_show_registers_questions_and_console() -> None:
    tap = decoder("moteus")
    data = moteus.header(moteus.WRITE, moteus.Width.INT8, moteus.Register.MODE, 1) + b"\x0a"
    data += moteus.header(moteus.READ, moteus.Width.INT16, moteus.Register.VELOCITY, 2)
    sent = tap.decode(moteus.frame(moteus.command_id(5), data))
    assert shown(sent) == (HOST, 5, "command", {"mode": 10, "asks": ["velocity", "torque"]})
    said = bytes((console.CLIENT_DATA, 1, 11)) + b"conf write\n"
    assert tap.decode(moteus.frame(5, said)).fields == {"text": "conf write"}


def test_canopen_frames_are_named() -> None:
    tap = decoder("cia402")
    named = {
        (0x080, b""): (HOST, None, "sync"),
        (0x000, b"\x82\x05"): (HOST, 5, "nmt"),
        (0x705, b"\x00"): (DEVICE, 5, "heartbeat"),
        (0x185, bytes(8)): (DEVICE, 5, "motion"),
        (0x285, b"\x27\x00"): (DEVICE, 5, "status"),
        (0x205, bytes(6)): (HOST, 5, "command"),
        (0x085, bytes(8)): (DEVICE, 5, "emergency"),
        (lss.MASTER_ID, bytes((lss.SET_NODE, 9)).ljust(8, b"\0")): (HOST, None, "lss_set_node"),
    }
    for (can_id, data), expected in named.items():
        assert shown(tap.decode(CanFrame(can_id, data)))[:3] == expected
    upload = tap.decode(CanFrame(0x585, bytes.fromhex("4b41600027060000")))
    assert upload.fields == {"object": "statusword", "value": 0x0627}


def test_a_frame_that_is_not_the_protocols_is_no_error() -> None:
    for name in CAN:
        assert decoder(name).decode(CanFrame(0x1FFF_FFFF, b"", extended=True)) is None


def test_lines_are_json_whatever_the_numbers() -> None:
    fields = {"a": math.nan, "b": [math.inf, 1], "c": {"d": -math.inf, "e": None}}
    row = json.loads(as_json_line(1.25, Decoded(HOST, None, "x", fields, b"\x01")))
    assert row["fields"] == {"a": "nan", "b": ["inf", 1], "c": {"d": "-inf", "e": None}}
    assert row["raw"] == "01" and row["from"] == "host" and row["id"] is None
    assert as_line(1.25, Decoded(HOST, 3, "x", {"a": 1.5, "b": {"1": 2}})).split() == [
        "1.2500", ">", "3", "x", "a=1.5", "b{1:2}"
    ]  # fmt: skip


frames = st.builds(
    lambda can_id, data, fd: CanFrame(can_id, data[:64] if fd else data[:8], can_id > 0x7FF, fd=fd),
    st.sampled_from(range(0x800)) | st.integers(0, 0x1FFF_FFFF),
    st.sampled_from(FD_LENGTHS).flatmap(lambda n: st.binary(min_size=n, max_size=n)),
    st.booleans(),
)


@pytest.mark.parametrize("name", CAN)
@given(stream=st.lists(frames, max_size=8))
def test_no_frame_makes_a_decoder_raise(name: str, stream: list[CanFrame]) -> None:
    tap = decoder(name)
    for frame in stream:
        decoded = tap.decode(frame)
        if decoded is not None:
            json.loads(as_json_line(0.0, decoded))


@pytest.mark.parametrize("name", SERIAL)
@given(
    parts=st.lists(st.binary(max_size=20) | st.sampled_from([b"\xff\xff", b"\xff\xff\xfd\0"])),
    sender=st.sampled_from([None, HOST, DEVICE]),
)
def test_no_bytes_make_a_decoder_raise(name: str, parts: list[bytes], sender: str | None) -> None:
    tap = decoder(name)
    for part in parts:
        for decoded in tap.feed(part, sender):
            json.loads(as_json_line(0.0, decoded))


@given(st.integers(0, 252), st.integers(0, 255), st.binary(max_size=40), st.booleans())
def test_any_good_packet_decodes(
    servo_id: int, code: int, data: bytes, sides_are_known: bool
) -> None:
    sender = DEVICE if sides_are_known else None
    for name, question, packet in (
        ("dynamixel", dynamixel.read(1, 120, 12), dynamixel.encode(servo_id, code, data)),
        ("feetech", feetech.read(1, 50, 12), feetech.encode(servo_id % 250, code, data)),
    ):
        tap = decoder(name)
        tap.feed(question, HOST if sides_are_known else None)
        for decoded in tap.feed(packet, sender):
            json.loads(as_json_line(0.0, decoded))
