"""Answers that belong to an earlier question, on a transport that plays back a script."""

from __future__ import annotations

import struct
import time

import numpy as np
import pytest

from firmware_bridge.dynamixel import DynamixelBus, DynamixelConfig, codec
from firmware_bridge.dynamixel.link import ServoLink
from firmware_bridge.dynamixel.registers import Register
from firmware_bridge.errors import BusTimeout, DeviceError
from firmware_bridge.messages import SafeSetpoint

OLD, NEW = 1000, 3000
CONFIG = DynamixelConfig(ids=(1, 2), fast_sync=False, read_budget_us=10_000_000)


class ScriptedTransport:
    """Each question releases the next of ``answers``; ``in_flight`` comes before them."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.received = b""
        self.in_flight = b""
        self.questions = 0
        self.deadline_ns = 0

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.questions += 1
        self.received += self.answers.pop(0) if self.answers else b""

    def read(self, minimum: int, deadline_ns: int) -> bytes:
        self.deadline_ns = deadline_ns
        if self.in_flight:
            data, self.in_flight = self.in_flight, b""
        else:
            data, self.received = self.received, b""
        return data

    def flush_input(self) -> None:
        self.received = b""


def state(device_id: int, ticks: int) -> bytes:
    return codec.status(device_id, 0, struct.pack("<hii", 0, 0, ticks))


def ticks_read(bus: DynamixelBus) -> list[int]:
    return [round(rad / 0.0015339807878856412) + 2048 for rad in bus.read_state().position_rad]


def test_what_lay_in_the_buffer_before_the_question_is_no_answer() -> None:
    transport = ScriptedTransport()
    transport.received = state(1, OLD) + state(2, OLD)
    with pytest.raises(BusTimeout):
        DynamixelBus(transport, CONFIG).read_state()


def test_after_a_lost_answer_the_line_is_let_fall_silent() -> None:
    transport = ScriptedTransport(b"", b"", state(1, NEW) + state(2, NEW))
    bus = DynamixelBus(transport, CONFIG)
    with pytest.raises(BusTimeout, match=r"servo 1, 2 "):
        bus.read_state()
    transport.in_flight = state(1, OLD) + state(2, OLD)
    assert ticks_read(bus) == [NEW, NEW]


def test_answers_to_two_questions_are_never_mixed() -> None:
    transport = ScriptedTransport(state(1, OLD), state(2, NEW))
    with pytest.raises(BusTimeout, match=r"servo 1 "):
        DynamixelBus(transport, CONFIG).read_state()


def test_a_state_is_asked_for_twice_at_most() -> None:
    transport = ScriptedTransport()
    with pytest.raises(BusTimeout, match=r"servo 1, 2 within the read budget"):
        DynamixelBus(transport, CONFIG).read_state()
    assert transport.questions == 2


def test_a_budget_without_room_for_a_second_question_allows_only_one() -> None:
    transport = ScriptedTransport()
    hasty = DynamixelConfig(ids=(1, 2), fast_sync=False, read_budget_us=1)
    with pytest.raises(BusTimeout):
        DynamixelBus(transport, hasty).read_state()
    assert transport.questions == 1


def test_setpoints_still_on_the_wire_lengthen_the_wait_for_an_answer() -> None:
    transport = ScriptedTransport(b"", state(1, NEW) + state(2, NEW))
    config = DynamixelConfig(ids=(1, 2), fast_sync=False, baud=9600, read_budget_us=10_000_000)
    bus = DynamixelBus(transport, config)
    byte_ns = 10 * 1_000_000_000 // 9600
    before_ns = time.monotonic_ns()
    bus.write_setpoints(SafeSetpoint(before_ns, np.zeros(2)))
    bus.read_state()
    wire_bytes = (14 + 2 * 5) + (14 + 2) + 2 * 21  # goals, question, answers
    assert transport.deadline_ns >= before_ns + wire_bytes * byte_ns + 1_500_000


def test_an_old_answer_to_a_single_question_is_flushed() -> None:
    transport = ScriptedTransport(codec.status(1, 0, b"\x07"))
    transport.received = codec.status(1, 0, b"\x09")
    assert ServoLink(transport).read(1, Register.ID) == 7


def test_another_servos_answer_to_a_single_question_is_passed_over() -> None:
    transport = ScriptedTransport(codec.status(2, 0, b"\x09") + codec.status(1, 0, b"\x07"))
    assert ServoLink(transport).read(1, Register.ID) == 7


def test_a_lost_single_question_is_asked_again() -> None:
    transport = ScriptedTransport(b"", b"", codec.status(1, 0, b"\x07"))
    assert ServoLink(transport).read(1, Register.ID) == 7
    with pytest.raises(BusTimeout, match=r"^servo 1 does not answer \(read of ID\)$"):
        ServoLink(ScriptedTransport()).read(1, Register.ID)


@pytest.mark.parametrize(("error", "reason"), [(7, "access error"), (99, "number 99 error")])
def test_a_refusal_is_named(error: int, reason: str) -> None:
    link = ServoLink(ScriptedTransport(codec.status(1, error)))
    with pytest.raises(DeviceError, match=f"servo 1 refuses the write of 1 to LED: {reason}"):
        link.write(1, Register.LED, 1)
