"""The controller's rules, in the C core itself: arming, checks, the ladder of silence, sessions."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.dynamixel.registers import Register
from firmware_bridge.emulation.wire import Reply
from firmware_bridge.oatlink import messages
from firmware_bridge.oatlink.codes import LatchReason, RejectReason, Result, State
from firmware_bridge.oatlink.wire import MessageType
from tests.unit.oatlink_core import Rig, config

KEY = bytes(range(100, 132))
TICK_US = 5000
SYNC_READ_TORQUE = b"\x82\x40\x00\x01\x00"  # instruction, address 64, length 1


@pytest.fixture
def rig() -> Rig:
    made = Rig()
    made.engage()
    return made


def stream(rig: Rig, ticks: int, lost: frozenset[int] = frozenset(), speed: float = 1.0) -> None:
    """A host at 200 Hz, lead 12 ms, three knots a frame, moving at ``speed`` rad/s."""
    start = rig.core.command_rad(0)
    for tick in range(ticks):
        if tick not in lost:
            newest = [k for k in (tick - 2, tick - 1, tick) if k >= 0]
            rig.setpoints(
                [((k - tick) * TICK_US + 12_000, start + speed * (k + 1) * 0.005) for k in newest]
            )
        rig.run(TICK_US)


def torque(rig: Rig) -> list[bool]:
    return [servo.has_torque for servo in rig.servos]


def test_hello_names_the_controller_and_changes_nothing() -> None:
    rig = Rig()
    rig.hello()
    rig.run(20_000)
    assert rig.welcome is not None
    assert rig.welcome.boot_id != 0 and rig.welcome.config_crc == 0
    assert rig.welcome.state == State.DISARMED
    assert not any(torque(rig))
    assert rig.telemetry is None  # nothing to measure before a configuration


def test_arming_holds_the_measured_position() -> None:
    rig = Rig()
    rig.plant.position_rad[:] = (0.4, -0.3)
    rig.coupling.publish()
    for servo in rig.servos:
        servo.table[Register.GOAL_POSITION] = 3000
    rig.engage()
    assert all(torque(rig))
    assert rig.state == State.HOLDING
    np.testing.assert_allclose(rig.plant.position_rad, (0.4, -0.3), atol=2e-3)
    assert rig.core.command_rad(0) == pytest.approx(0.4, abs=1e-3)


def test_arming_without_a_configuration_is_refused() -> None:
    rig = Rig()
    rig.hello()
    assert rig.arm().result == Result.CONFIG_DIFFERS
    assert not any(torque(rig))


def test_arming_with_other_limits_than_the_host_believes_is_refused() -> None:
    rig = Rig()
    rig.hello()
    rig.configure()
    wrong = messages.pack_word(rig.config.crc ^ 1)
    assert rig.ask(MessageType.ARM, wrong).result == Result.CONFIG_DIFFERS


def test_a_commit_after_a_lost_record_is_refused() -> None:
    rig = Rig()
    rig.hello()
    assert rig.ask(MessageType.CONFIG, rig.config.records[0]).result == Result.DONE
    assert rig.ask(MessageType.CONFIG, rig.config.records[-1]).result == Result.CONFIG_DIFFERS


def test_damping_is_refused_where_it_is_not_implemented() -> None:
    rig = Rig(config(damp_after_ms=100))
    rig.hello()
    results = [rig.ask(MessageType.CONFIG, record).result for record in rig.config.records]
    assert results == [Result.DONE, Result.DONE, Result.UNSUPPORTED]


def test_one_silent_motor_keeps_torque_off_everywhere() -> None:
    rig = Rig(config(joints=3))
    rig.hello()
    rig.configure()
    rig.motors.absent.add(3)
    ack = rig.arm()
    assert (ack.result, ack.detail) == (Result.MOTOR_SILENT, 3)
    assert not any(torque(rig)[:2])
    rig.run(20_000)
    assert rig.state == State.DISARMED


def test_a_motor_in_another_mode_is_refused_by_its_id() -> None:
    rig = Rig()
    rig.hello()
    rig.configure()
    rig.servos[1].table[Register.OPERATING_MODE] = 1
    ack = rig.arm()
    assert (ack.result, ack.detail) == (Result.MOTOR_REFUSES, 2)


def test_a_request_repeated_is_answered_again_and_done_once(rig: Rig) -> None:
    rig.setpoints([(12_000, 0.01)], sequence=900)
    rig.run(TICK_US)
    body = messages.pack_word(rig.config.crc)
    rig.ask(MessageType.DISARM, sequence=1000)
    rig.ask(MessageType.ARM, body, sequence=1001)
    written = rig.servos[0].table[Register.GOAL_POSITION]
    rig.servos[0].table[Register.GOAL_POSITION] = written + 1  # a second arming would reset it
    rig.acks.clear()
    rig.send(MessageType.ARM, body, sequence=1001)
    assert [(ack.result, ack.sequence) for ack in rig.acks] == [(Result.DONE, 1001)]
    rig.send(MessageType.DISARM, sequence=1000)  # a late copy of something older
    assert len(rig.acks) == 1
    assert rig.state == State.HOLDING


def test_setpoints_move_the_joints_along_the_line_between_knots(rig: Rig) -> None:
    start = rig.core.command_rad(0)
    rig.setpoints([(20_000, start + 0.04), (40_000, start)])
    seen = []
    for _ in range(8):
        rig.run(TICK_US)
        seen.append(rig.core.command_rad(0) - start)
    expected = [0.01, 0.02, 0.03, 0.04, 0.03, 0.02, 0.01, 0.0]
    np.testing.assert_allclose(seen, expected, atol=0.0025)


def test_lost_frames_cost_nothing_if_their_knots_come_again() -> None:
    moves = []
    for lost in (frozenset[int](), frozenset({5, 9, 14, 20})):
        rig = Rig()
        rig.engage()
        stream(rig, 30, lost)
        moves.append(list(rig.goals))
        report = rig.report
        assert report.rejects == 0 and report.clamps == 0
    assert moves[0] == moves[1]


def test_knots_replace_everything_from_the_first_on(rig: Rig) -> None:
    start = rig.core.command_rad(0)
    rig.setpoints([(20_000, start + 0.05), (60_000, start + 0.1), (100_000, start + 0.2)])
    rig.run(TICK_US)
    rig.setpoints([(30_000, start + 0.02)])
    assert rig.report.depth == 2
    rig.run(24_000)
    assert rig.core.command_rad(0) - start == pytest.approx(0.02, abs=0.004)


def test_an_empty_queue_decelerates_and_holds_and_the_next_frame_goes_on(rig: Rig) -> None:
    stream(rig, 20, speed=2.0)
    before = rig.core.command_rad(0)
    rig.run(50_000)
    report = rig.report
    assert report.state == State.HOLDING and report.underruns == 1
    # the rest of the queue (12 ms), and 2² / (2 · 30) rad to come to rest
    assert rig.core.command_rad(0) - before == pytest.approx(0.014 + 0.067, abs=0.02)
    rig.setpoints([(12_000, rig.core.command_rad(0) + 0.005)])
    assert rig.state == State.ARMED


def test_silence_latches_with_torque_on_until_armed_again(rig: Rig) -> None:
    stream(rig, 10)
    rig.run(150_000)
    report = rig.report
    assert (report.state, report.latch_reason) == (State.LATCHED, LatchReason.SILENCE)
    assert all(torque(rig))
    where = rig.core.command_rad(0)
    rig.setpoints([(12_000, where)])
    assert rig.report.reject_reason == RejectReason.NOT_ARMED
    rig.plant.position_rad[:] += 0.2  # somebody pushed the arm meanwhile
    rig.coupling.publish()
    assert rig.arm().result == Result.DONE
    assert rig.core.command_rad(0) == pytest.approx(rig.plant.position_rad[0], abs=0.01)
    assert rig.core.command_rad(0) > where + 0.1


def test_refused_setpoints_do_not_keep_a_controller_alive(rig: Rig) -> None:
    for _ in range(30):
        rig.setpoints([(12_000, 5.0)])
        rig.run(TICK_US)
    report = rig.report
    assert (report.state, report.latch_reason) == (State.LATCHED, LatchReason.SILENCE)


def test_time_requests_do_not_keep_a_controller_alive(rig: Rig) -> None:
    for _ in range(30):
        rig.send(MessageType.TIME, messages.pack_word(1))
        rig.run(TICK_US)
    assert rig.state == State.LATCHED


def test_an_emergency_stop_takes_torque_and_needs_disarming_first(rig: Rig) -> None:
    stream(rig, 10)
    assert rig.ask(MessageType.ESTOP).result == Result.DONE
    assert not any(torque(rig))
    assert (rig.report.state, rig.report.latch_reason) == (State.LATCHED, LatchReason.ESTOP)
    assert rig.arm().result == Result.WRONG_STATE
    assert rig.ask(MessageType.DISARM).result == Result.DONE
    assert rig.arm().result == Result.DONE


def test_an_emergency_stop_works_while_arming() -> None:
    rig = Rig(config(joints=7))
    rig.hello()
    rig.configure()
    rig.send(MessageType.ARM, messages.pack_word(rig.config.crc))
    rig.run(5000)
    assert any(torque(rig))
    assert rig.ask(MessageType.ESTOP).result == Result.DONE
    assert not any(torque(rig))


def test_motors_that_vanish_latch_the_controller(rig: Rig) -> None:
    stream(rig, 5)
    rig.cut = True
    stream(rig, 70, speed=0.1)
    report = rig.report
    assert (report.state, report.latch_reason) == (State.LATCHED, LatchReason.MOTOR_LOST)
    rig.hello()
    assert rig.welcome is not None and rig.welcome.suspect == 1


def test_a_silent_motor_among_others_is_named(rig: Rig) -> None:
    rig.motors.absent.add(2)
    stream(rig, 10, speed=0.1)
    rig.hello()
    assert rig.welcome is not None and rig.welcome.suspect == 2


def test_a_motor_at_fault_latches_the_controller(rig: Rig) -> None:
    stream(rig, 5)
    rig.servos[1].fail(0x20)
    stream(rig, 5)
    report = rig.report
    assert (report.state, report.latch_reason) == (State.LATCHED, LatchReason.MOTOR_FAULT)
    assert torque(rig)[0]


def silence(rig: Rig, motor: int, duration_ms: int) -> None:
    rig.motors.absent.add(motor)
    stream(rig, duration_ms // 5, speed=0.1)
    rig.motors.absent.discard(motor)


@pytest.mark.parametrize("silence_ms", [150, 600])
def test_a_motor_that_rebooted_while_it_was_silent_latches_the_controller(
    rig: Rig, silence_ms: int
) -> None:
    stream(rig, 5)
    silence(rig, 2, silence_ms)
    rig.servos[1].reboot()
    stream(rig, 5, speed=0.1)
    assert rig.report.state == State.LATCHED
    assert rig.report.latch_reason == LatchReason.MOTOR_LIMP
    assert torque(rig) == [True, False]
    rig.hello()
    assert rig.welcome is not None and rig.welcome.suspect == 2
    assert rig.arm().result == Result.DONE
    stream(rig, 10)
    assert rig.state == State.ARMED
    assert torque(rig) == [True, True]


def test_a_motor_that_was_silent_and_kept_its_torque_goes_on(rig: Rig) -> None:
    stream(rig, 5)
    silence(rig, 2, 150)
    stream(rig, 10, speed=0.1)
    stream(rig, 10)
    assert rig.state == State.ARMED
    measured = rig.report.age_us
    assert measured is not None and measured < 20_000


def test_a_motor_that_is_silent_again_when_it_is_asked_for_its_torque_is_asked_later(
    rig: Rig,
) -> None:
    stream(rig, 5)
    silence(rig, 2, 150)
    rig.servos[1].reboot()
    answer, lost = rig.motors.receive, []

    def lose_the_first_question(asked: bytes, now_ns: int) -> list[Reply]:
        if SYNC_READ_TORQUE in asked and not lost:
            lost.append(asked)
            return []
        return answer(asked, now_ns)

    rig.motors.receive = lose_the_first_question  # type: ignore[method-assign]
    stream(rig, 10, speed=0.1)
    assert lost
    assert rig.report.latch_reason == LatchReason.MOTOR_LIMP


@pytest.mark.parametrize("why", ["fault", "reboot"])
def test_a_motor_at_fault_or_limp_stays_named_when_others_fall_silent(rig: Rig, why: str) -> None:
    stream(rig, 5)
    if why == "fault":
        rig.servos[1].fail(0x20)
    else:
        silence(rig, 2, 150)
        rig.servos[1].reboot()
    stream(rig, 5, speed=0.1)
    assert rig.state == State.LATCHED
    rig.motors.absent.add(1)
    rig.run(50_000)
    rig.hello()
    assert rig.welcome is not None and rig.welcome.suspect == 2


def test_a_motor_that_was_lost_and_comes_back_with_a_fault_is_a_motor_at_fault(rig: Rig) -> None:
    stream(rig, 5)
    silence(rig, 2, 600)
    assert rig.report.latch_reason == LatchReason.MOTOR_LOST
    rig.servos[1].fail(0x20)
    rig.run(50_000)
    assert rig.report.latch_reason == LatchReason.MOTOR_FAULT


def test_a_dead_controller_leaves_the_arm_to_the_motors_watchdogs(rig: Rig) -> None:
    stream(rig, 10)
    rig.reboot(entropy=2)
    rig.run(500_000)
    assert rig.motors.watchdog_trips == len(rig.servos)
    assert all(torque(rig))


def test_after_a_reboot_the_old_session_moves_nothing(rig: Rig) -> None:
    stream(rig, 10)
    old = rig.session
    rig.reboot(entropy=2)
    rig.frames.clear()
    stream(rig, 10)
    assert rig.frames == [] and not rig.core.to_motors()
    rig.hello()
    assert rig.session not in (0, old)
    assert rig.welcome is not None and rig.welcome.damaged_frames >= 10
    rig.session = old
    rig.setpoints([(12_000, 0.01)])
    assert rig.frames[-1].header.message_type == MessageType.WELCOME


def test_boot_ids_differ_by_entropy_and_by_nonce() -> None:
    seen = set()
    for entropy in range(5):
        for nonce in range(5):
            rig = Rig(entropy=entropy)
            rig.hello(nonce)
            seen.add(rig.session)
    assert len(seen) == 25


def test_a_second_commander_is_not_heard_while_the_first_one_moves_the_arm(rig: Rig) -> None:
    stream(rig, 5)
    rig.welcome = None
    rig.hello(nonce=77)
    assert rig.welcome is None
    rig.run(300_000)  # the first one fell silent: latched
    rig.hello(nonce=77)
    assert rig.welcome is not None and rig.welcome.state == State.LATCHED
    assert rig.arm().result == Result.DONE


@pytest.mark.parametrize(
    ("knots", "reason"),
    [
        ([(12_000, 3.01)], RejectReason.POSITION),
        ([(12_000, -3.01)], RejectReason.POSITION),
        ([(12_000, 0.31)], RejectReason.STEP),
        ([(12_000, 0.0), (112_000 - 60_000, 0.31)], RejectReason.STEP),
        ([(12_000, 0.0), (22_000, 0.0315)], RejectReason.VELOCITY),
        ([(-1000, 0.0)], RejectReason.LATE),
        ([(501_000, 0.0)], RejectReason.HORIZON),
    ],
)
def test_one_bad_knot_refuses_the_frame(
    rig: Rig, knots: list[tuple[int, float]], reason: RejectReason
) -> None:
    before = rig.report
    rig.setpoints(knots)
    report = rig.report
    assert report.reject_reason == reason
    assert report.rejects == before.rejects + 1
    assert report.depth == 0 and report.state == State.HOLDING


@pytest.mark.parametrize(
    "knots",
    [
        [(12_000, 0.29)],
        [(12_000, 0.0), (22_000, 0.0295)],
        [(1000, 0.0)],
        [(499_000, 0.0)],
        [(-5000, 0.0), (1000, 0.0)],
    ],
)
def test_just_inside_a_limit_is_accepted(rig: Rig, knots: list[tuple[int, float]]) -> None:
    before = rig.report
    rig.setpoints(knots)
    assert rig.report.rejects == before.rejects


def test_a_trifle_beyond_a_position_limit_is_clamped_and_counted() -> None:
    rig = Rig()
    rig.plant.position_rad[:] = 2.99
    rig.coupling.publish()
    rig.engage()
    rig.setpoints([(12_000, 3.001)])
    rig.run(20_000)
    report = rig.report
    assert report.rejects == 0 and report.clamps >= 1
    assert rig.core.command_rad(0) <= 3.0 + 1e-6


def test_a_command_that_fell_behind_catches_up_no_faster_than_allowed(rig: Rig) -> None:
    rig.setpoints([(2000, 0.25)])
    reached = []
    for _ in range(20):
        rig.run(1000)
        reached.append(rig.core.command_rad(0))
    assert max(np.diff(reached)) <= 3.0 * 1.13 * 0.001 * 1.01
    assert rig.report.clamps >= 1


@pytest.mark.parametrize(
    ("age_us", "reason"),
    [(21_000, RejectReason.STALE), (-11_000, RejectReason.FUTURE)],
)
def test_a_frame_from_another_time_is_refused(rig: Rig, age_us: int, reason: RejectReason) -> None:
    before = rig.report
    rig.setpoints([(12_000, 0.0)], age_us=age_us)
    report = rig.report
    assert report.reject_reason == reason and report.rejects == before.rejects + 1


@pytest.mark.parametrize("age_us", [19_000, -9000])
def test_a_frame_of_just_about_now_is_accepted(rig: Rig, age_us: int) -> None:
    before = rig.report
    rig.setpoints([(12_000, 0.0)], age_us=age_us)
    assert rig.report.rejects == before.rejects


def test_a_backlog_is_refused_whether_the_clock_ran_or_stood(rig: Rig) -> None:
    for clock_error_us in (0, 300_000):  # ran during the stall, or stood
        backlog = []
        for _ in range(60):
            knots = messages.pack_setpoints(
                [rig.now_us + clock_error_us + 12_000], np.zeros((1, 2), np.int16)
            )
            age_us = -clock_error_us if clock_error_us else 50_000
            backlog.append(rig.bytes_of(MessageType.SETPOINTS, knots, age_us=age_us))
        before = rig.report
        for data in backlog:
            rig.core.from_host(data, rig.now_us)
        report = rig.report
        assert (report.rejects - before.rejects) % 256 == 60
        assert report.reject_reason in (RejectReason.STALE, RejectReason.FUTURE)
        assert report.depth == 0


def test_an_old_or_repeated_sequence_is_refused(rig: Rig) -> None:
    rig.setpoints([(12_000, 0.0)], sequence=500)
    for sequence in (500, 499, (500 - 0x7FFF) & 0xFFFF):
        before = rig.report
        rig.setpoints([(12_000, 0.0)], sequence=sequence)
        report = rig.report
        assert report.reject_reason == RejectReason.SEQUENCE
        assert report.rejects == before.rejects + 1
    rig.setpoints([(12_000, 0.0)], sequence=501)
    assert rig.report.accepted == 501


def test_a_frame_for_another_number_of_joints_is_refused(rig: Rig) -> None:
    rig.setpoints([(12_000, 0.0)], joints=3)
    assert rig.report.reject_reason == RejectReason.SHAPE


def test_the_queue_takes_32_knots_and_no_more(rig: Rig) -> None:
    for frame in range(8):
        rig.setpoints([(20_000 + (frame * 4 + k) * 5000, 0.0) for k in range(4)])
    assert rig.report.rejects == 0
    rig.setpoints([(20_000 + 40 * 5000, 0.0)])
    assert rig.report.reject_reason in (RejectReason.FULL, RejectReason.NONE)
    rig.setpoints([(20_000 + (41 + k) * 5000, 0.0) for k in range(4)])
    assert rig.report.reject_reason == RejectReason.FULL


def test_time_passes_the_32_bit_wrap_in_motion() -> None:
    rig = Rig()
    rig.now_us = (1 << 32) - 60_000
    rig.engage()
    while rig.now_us < (1 << 32) + 40_000:
        stream(rig, 4, speed=0.5)
    report = rig.report
    assert report.rejects == 0 and report.underruns == 0
    assert rig.core.command_rad(0) > 0.02


def test_nobody_is_reported_to_after_two_seconds_without_a_word(rig: Rig) -> None:
    rig.run(2_200_000)
    rig.frames.clear()
    rig.run(100_000)
    assert rig.frames == []
    rig.send(MessageType.TIME, messages.pack_word(5))
    rig.run(20_000)
    kinds = {frame.header.message_type for frame in rig.frames}
    assert kinds == {MessageType.TIME_REPLY, MessageType.TELEMETRY}


def test_reports_say_what_the_motors_measure(rig: Rig) -> None:
    stream(rig, 20, speed=1.0)
    report = rig.report
    np.testing.assert_allclose(report.position / 4096, rig.plant.position_rad, atol=0.02)
    assert report.age_us is not None and report.age_us < 8000
    assert report.accepted > 0


class TestWithAKey:
    """A link whose payloads carry tags."""

    def test_the_whole_way_works(self) -> None:
        rig = Rig(key=KEY)
        rig.engage()
        assert rig.welcome is not None and rig.welcome.capabilities & 1
        stream(rig, 10)
        assert rig.report.rejects == 0

    def test_frames_without_a_tag_or_with_a_foreign_key_move_nothing(self) -> None:
        rig = Rig(key=KEY)
        rig.engage()
        frames = len(rig.frames)
        for key in (b"", bytes(32)):
            stranger = Rig(key=key)
            stranger.session, stranger.now_us = rig.session, rig.now_us
            knots = messages.pack_setpoints([rig.now_us + 12_000], np.zeros((1, 2), np.int16))
            data = stranger.bytes_of(MessageType.SETPOINTS, knots, sequence=0x1000)
            rig.core.from_host(data, rig.now_us)
            rig.core.from_host(stranger.bytes_of(MessageType.ESTOP), rig.now_us)
        report = rig.report
        assert (report.depth, report.rejects, report.state) == (0, 0, State.HOLDING)
        assert len(rig.frames) > frames

    def test_a_recorded_frame_is_refused_at_once_and_an_hour_later(self) -> None:
        rig = Rig(key=KEY)
        rig.engage()
        knots = messages.pack_setpoints([rig.now_us + 12_000], np.zeros((1, 2), np.int16))
        recorded = rig.bytes_of(MessageType.SETPOINTS, knots)
        rig.core.from_host(recorded, rig.now_us)
        rig.core.from_host(recorded, rig.now_us)
        report = rig.report
        assert (report.rejects, report.reject_reason) == (1, RejectReason.SEQUENCE)
        rig.run(150_000)
        recorded_us, rig.now_us = rig.now_us, rig.now_us + (1 << 32) - 158_000
        rig.core.poll(rig.now_us)
        rig.hello(nonce=9)  # a new tenure knows no sequence numbers
        rig.arm()
        while rig.now_us < recorded_us + (1 << 32) - 158_500:
            rig.run(500)
        before = rig.report
        damaged = rig.welcome.damaged_frames if rig.welcome else 0
        rig.core.from_host(recorded, rig.now_us)
        assert rig.report.rejects == before.rejects
        rig.hello(nonce=9)
        assert rig.welcome is not None and rig.welcome.damaged_frames == damaged + 1

    def test_a_recorded_request_is_ignored_after_a_second(self) -> None:
        rig = Rig(key=KEY)
        rig.engage()
        recorded = rig.bytes_of(MessageType.ESTOP)
        rig.run(1_100_000)
        rig.core.from_host(recorded, rig.now_us)
        assert rig.report.latch_reason == LatchReason.SILENCE
