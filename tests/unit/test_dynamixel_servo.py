"""The emulated servo keeps the rules of the manual; time is handed in, nothing waits."""

from __future__ import annotations

import pytest

from firmware_bridge.dynamixel import codec
from firmware_bridge.dynamixel.codec import ALERT_BIT, ErrorNumber, Status
from firmware_bridge.dynamixel.parser import PacketParser
from firmware_bridge.dynamixel.registers import WIDTH, Register, describe_hardware_error
from firmware_bridge.emulation.chains import plain_chain, viperx_chain
from firmware_bridge.emulation.control_table import FIELDS
from firmware_bridge.emulation.dynamixel_bus import EmulatedDynamixelBus
from firmware_bridge.emulation.dynamixel_servo import DynamixelServo, Mount

MS = 1_000_000


def statuses(bus: EmulatedDynamixelBus, question: bytes, now_ns: int = 0) -> list[Status]:
    answer = b"".join(reply.data for reply in bus.receive(question, now_ns))
    found = (codec.as_status(packet) for packet in PacketParser().feed(answer))
    return [status for status in found if status is not None]


def written(bus: EmulatedDynamixelBus, servo_id: int, register: Register, value: int) -> int:
    data = value.to_bytes(WIDTH[register], "little", signed=value < 0)
    (status,) = statuses(bus, codec.write(servo_id, register, data))
    return status.error


@pytest.fixture
def bus() -> EmulatedDynamixelBus:
    return EmulatedDynamixelBus(plain_chain(3))


def test_registers_do_not_overlap_and_every_one_is_known() -> None:
    ends = 0
    for register in sorted(Register):
        assert register >= ends, register.name
        ends = register + WIDTH[register]
    assert set(FIELDS) == set(Register)


def test_a_new_servo_has_no_torque_and_the_manuals_defaults() -> None:
    table = DynamixelServo(1, Mount(0)).table
    assert table[Register.TORQUE_ENABLE] == 0
    assert table[Register.RETURN_DELAY_TIME] == 250
    assert table[Register.OPERATING_MODE] == 3
    assert table[Register.BUS_WATCHDOG] == 0


def test_a_broadcast_ping_is_answered_in_the_order_of_ids() -> None:
    chain = EmulatedDynamixelBus(list(reversed(plain_chain(3))))
    answers = statuses(chain, codec.ping(codec.BROADCAST_ID))
    assert [answer.device_id for answer in answers] == [1, 2, 3]
    assert answers[0].data == bytes.fromhex("60 04 2D")


def test_a_sync_read_is_answered_in_the_order_of_the_question(bus: EmulatedDynamixelBus) -> None:
    answers = statuses(bus, codec.sync_read(Register.ID, 1, [3, 1, 2]))
    assert [answer.data[0] for answer in answers] == [3, 1, 2]


def test_eeprom_is_locked_while_torque_is_on(bus: EmulatedDynamixelBus) -> None:
    assert written(bus, 1, Register.RETURN_DELAY_TIME, 7) == 0
    assert written(bus, 1, Register.TORQUE_ENABLE, 1) == 0
    assert written(bus, 1, Register.RETURN_DELAY_TIME, 9) == ErrorNumber.ACCESS
    assert bus.servos[0].table[Register.RETURN_DELAY_TIME] == 7


def test_a_read_only_register_refuses_a_write(bus: EmulatedDynamixelBus) -> None:
    assert written(bus, 1, Register.PRESENT_POSITION, 5) == ErrorNumber.ACCESS
    assert bus.servos[0].table[Register.PRESENT_POSITION] == 2048


@pytest.mark.parametrize(
    ("goal", "error"),
    [(999, ErrorNumber.DATA_LIMIT), (1000, 0), (3000, 0), (3001, ErrorNumber.DATA_LIMIT)],
)
def test_a_goal_outside_the_position_limits_is_refused(
    bus: EmulatedDynamixelBus, goal: int, error: int
) -> None:
    assert written(bus, 1, Register.MIN_POSITION_LIMIT, 1000) == 0
    assert written(bus, 1, Register.MAX_POSITION_LIMIT, 3000) == 0
    assert written(bus, 1, Register.GOAL_POSITION, goal) == error
    assert bus.servos[0].goal_ticks == (2048 if error else goal)


def test_a_value_outside_the_registers_range_is_refused(bus: EmulatedDynamixelBus) -> None:
    assert written(bus, 1, Register.TORQUE_ENABLE, 2) == ErrorNumber.DATA_RANGE
    assert written(bus, 1, Register.BUS_WATCHDOG, 127) == 0
    assert written(bus, 1, Register.BUS_WATCHDOG, 128 - 256) == ErrorNumber.DATA_RANGE


def test_half_a_register_is_a_length_error(bus: EmulatedDynamixelBus) -> None:
    (status,) = statuses(bus, codec.write(1, Register.GOAL_POSITION, b"\0\0"))
    assert status.error == ErrorNumber.DATA_LENGTH


def test_a_write_is_all_or_nothing(bus: EmulatedDynamixelBus) -> None:
    too_fast = (5).to_bytes(4, "little") + (40_000).to_bytes(4, "little")
    (status,) = statuses(bus, codec.write(1, Register.PROFILE_ACCELERATION, too_fast))
    assert status.error == ErrorNumber.DATA_RANGE
    assert bus.servos[0].table[Register.PROFILE_ACCELERATION] == 0


def test_a_read_beyond_the_table_is_an_access_error(bus: EmulatedDynamixelBus) -> None:
    (status,) = statuses(bus, codec.read(1, 146, 3))
    assert (status.error, status.data) == (ErrorNumber.ACCESS, b"")


def test_an_unknown_instruction_is_an_instruction_error(bus: EmulatedDynamixelBus) -> None:
    (status,) = statuses(bus, codec.encode(1, 0x77))
    assert status.error == ErrorNumber.INSTRUCTION


@pytest.mark.parametrize(
    ("level", "answered"), [(0, [True, False, False]), (1, [True, True, False])]
)
def test_the_status_return_level_silences(
    bus: EmulatedDynamixelBus, level: int, answered: list[bool]
) -> None:
    bus.servos[0].table[Register.STATUS_RETURN_LEVEL] = level
    questions = codec.ping(1), codec.read(1, Register.ID, 1), codec.write(1, Register.LED, b"\1")
    assert [bool(statuses(bus, question)) for question in questions] == answered


def test_a_shadow_obeys_its_leader_and_stays_silent() -> None:
    chain = EmulatedDynamixelBus(viperx_chain())
    assert written(chain, 2, Register.TORQUE_ENABLE, 1) == 0
    goals = codec.sync_write(Register.GOAL_POSITION, 4, {2: (2100).to_bytes(4, "little")})
    assert statuses(chain, goals) == []
    shadow = next(servo for servo in chain.servos if servo.servo_id == 3)
    assert shadow.has_torque and shadow.goal_ticks == 2100


def test_a_shadows_eeprom_cannot_be_written_through_its_leader() -> None:
    chain = EmulatedDynamixelBus(viperx_chain())
    assert written(chain, 2, Register.RETURN_DELAY_TIME, 33) == 0
    delays = {s.servo_id: s.table[Register.RETURN_DELAY_TIME] for s in chain.servos}
    assert (delays[2], delays[3]) == (33, 0)


def test_silence_within_the_watchdog_stops_nothing(bus: EmulatedDynamixelBus) -> None:
    armed(bus)
    bus.check_watchdogs(100 * MS)
    assert bus.watchdog_trips == 0


def test_silence_beyond_the_watchdog_stops_the_servo_and_locks_its_goals(
    bus: EmulatedDynamixelBus,
) -> None:
    armed(bus)
    bus.servos[0].publish(2500, 0, 0)
    bus.check_watchdogs(100 * MS + 1)
    servo = bus.servos[0]
    assert bus.watchdog_trips == 1
    assert servo.table[Register.BUS_WATCHDOG] == -1
    assert servo.goal_ticks == 2500
    assert written(bus, 1, Register.GOAL_POSITION, 2000) == ErrorNumber.DATA_RANGE
    assert written(bus, 1, Register.BUS_WATCHDOG, 5) == ErrorNumber.DATA_RANGE
    assert written(bus, 1, Register.BUS_WATCHDOG, 0) == 0
    assert servo.goal_ticks == 2500
    assert written(bus, 1, Register.GOAL_POSITION, 2000) == 0
    assert servo.goal_ticks == 2000


def test_any_instruction_on_the_bus_feeds_the_watchdog(bus: EmulatedDynamixelBus) -> None:
    armed(bus)
    statuses(bus, codec.ping(3), now_ns=90 * MS)
    bus.check_watchdogs(150 * MS)
    assert bus.watchdog_trips == 0
    bus.check_watchdogs(191 * MS)
    assert bus.watchdog_trips == 1


def test_without_torque_the_watchdog_does_not_trip(bus: EmulatedDynamixelBus) -> None:
    assert written(bus, 1, Register.BUS_WATCHDOG, 1) == 0
    bus.check_watchdogs(10_000 * MS)
    assert bus.watchdog_trips == 0


def armed(bus: EmulatedDynamixelBus) -> None:
    assert written(bus, 1, Register.TORQUE_ENABLE, 1) == 0
    assert written(bus, 1, Register.BUS_WATCHDOG, 5) == 0  # 100 ms since time 0


def test_an_overload_ends_torque_and_every_answer_carries_the_alert(
    bus: EmulatedDynamixelBus,
) -> None:
    assert written(bus, 1, Register.TORQUE_ENABLE, 1) == 0
    bus.servos[0].fail(0x20)
    assert not bus.servos[0].has_torque
    (status,) = statuses(bus, codec.read(1, Register.ID, 1))
    assert status.error == ALERT_BIT
    assert written(bus, 1, Register.TORQUE_ENABLE, 1) == ALERT_BIT | ErrorNumber.RESULT_FAIL
    assert describe_hardware_error(0x24) == "overheating, overload"


def test_a_reboot_clears_the_fault_and_keeps_eeprom_and_position(
    bus: EmulatedDynamixelBus,
) -> None:
    servo = bus.servos[0]
    assert written(bus, 1, Register.RETURN_DELAY_TIME, 9) == 0
    assert written(bus, 1, Register.TORQUE_ENABLE, 1) == 0
    servo.publish(1234, 0, 0)
    servo.fail(0x20)
    statuses(bus, codec.reboot(1))
    assert (servo.alert, servo.has_torque) == (0, False)
    assert servo.table[Register.RETURN_DELAY_TIME] == 9
    assert servo.table[Register.PRESENT_POSITION] == 1234


def test_a_common_answer_ends_before_a_silent_servo(bus: EmulatedDynamixelBus) -> None:
    question = codec.fast_sync_read(Register.ID, 1, [1, 2, 3])
    assert len(statuses(bus, question)) == 1
    bus.absent.add(2)
    assert statuses(bus, question) == []


def test_bytes_that_are_no_packet_are_ignored(bus: EmulatedDynamixelBus) -> None:
    assert statuses(bus, b"\xff\xff\xfd hello" + codec.ping(2)) != []
    assert statuses(bus, codec.status(1)) == []
    assert statuses(bus, codec.encode(0xFE, codec.Instruction.SYNC_WRITE, b"\x74\0\0\0")) == []
