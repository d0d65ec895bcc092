"""oatlink's codec, schedule and C core under whatever bytes and numbers there are."""

from __future__ import annotations

import itertools
import random
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.oatlink import can_fd, cobs, messages, units, wire
from firmware_bridge.oatlink.schedule import KnotSchedule
from firmware_bridge.oatlink.wire import Header, MessageType, Sealer
from tests.unit.oatlink_core import Core, Rig, built
from tests.unit.test_oatlink_vectors import sealed_in_c

FUZZ_INPUTS = 40_000
FUZZ_TIMEOUT_S = 120
bodies = st.binary(max_size=wire.MAX_BODY)
words = st.integers(0, 2**32 - 1)
times = st.integers(0, 2**48)
keys = st.sampled_from([b"", bytes(range(32)), bytes(32)])
kinds = st.sampled_from([k for k in MessageType if k not in wire.SESSIONLESS])


@given(st.lists(st.sampled_from([0, 1, 254, 255]) | st.integers(0, 255), max_size=700))
def test_cobs_comes_back_without_zeros_and_costs_little(values: list[int]) -> None:
    data = bytes(values)
    encoded = cobs.encode(data)
    assert 0 not in encoded
    assert len(encoded) <= len(data) + 1 + len(data) // 254
    assert cobs.decode(encoded) == data


@given(st.binary(max_size=300))
def test_cobs_decoding_never_raises(data: bytes) -> None:
    decoded = cobs.decode(data)
    assert decoded is None or len(decoded) <= len(data)


@given(st.lists(bodies.filter(len), max_size=5), st.randoms(use_true_random=False))
def test_frames_are_found_whatever_the_pieces_they_come_in(
    payloads: list[bytes], chance: random.Random
) -> None:
    stream = b"".join(wire.frame_bytes(payload) for payload in payloads)
    deframer = cobs.Deframer(wire.MAX_PAYLOAD)
    found = []
    while stream:
        size = chance.randint(1, len(stream))
        found += deframer.feed(stream[:size])
        stream = stream[size:]
    assert found == payloads and deframer.damaged == 0


@given(st.binary(max_size=600), bodies.filter(len))
def test_a_frame_after_garbage_is_found(garbage: bytes, payload: bytes) -> None:
    deframer = cobs.Deframer(wire.MAX_PAYLOAD)
    found = deframer.feed(garbage + b"\0" + wire.frame_bytes(payload))
    assert found[-1] == payload


@given(kinds, st.integers(0, 0xFFFF), times, words, bodies, keys, st.integers(-(2**31) + 1, 2**31))
def test_what_is_sealed_opens_within_half_a_wrap_of_time(
    kind: MessageType, sequence: int, time_us: int, session: int, body: bytes, key: bytes, off: int
) -> None:
    header = Header(kind, sequence, time_us)
    payload = Sealer(key).seal(header, session, body)
    frame = Sealer(key).open(payload, session, max(0, time_us + off))
    assert frame == (header, body)


@given(kinds, st.integers(0, 0xFFFF), times, words, bodies, keys)
def test_c_and_python_seal_alike(
    kind: MessageType, sequence: int, time_us: int, session: int, body: bytes, key: bytes
) -> None:
    row = {
        "key": key.hex(),
        "session": session,
        "type": int(kind),
        "sequence": sequence,
        "time_us": time_us,
        "body": body.hex(),
    }
    assert sealed_in_c(row) == Sealer(key).seal(Header(kind, sequence, time_us), session, body)


@given(kinds, words, bodies, keys, st.data())
def test_one_flipped_bit_or_another_session_is_refused(
    kind: MessageType, session: int, body: bytes, key: bytes, data: st.DataObject
) -> None:
    payload = bytearray(Sealer(key).seal(Header(kind, 7, 1000), session, body))
    assert Sealer(key).open(bytes(payload), session ^ 0x10000, 1000) is None
    bit = data.draw(st.integers(0, 8 * len(payload) - 1))
    payload[bit // 8] ^= 1 << bit % 8
    assert Sealer(key).open(bytes(payload), session, 1000) is None


@given(st.binary(max_size=200), words, times)
def test_opening_and_unpacking_never_raise(data: bytes, session: int, now_us: int) -> None:
    Sealer().open(data, session, now_us)
    for unpack in (
        messages.unpack_ack,
        messages.unpack_welcome,
        messages.unpack_telemetry,
        messages.unpack_setpoints,
        messages.unpack_time_reply,
    ):
        unpack(data)  # type: ignore[operator]
    can_fd.from_can_fd(data, 7, with_tag=False)


@given(
    st.integers(0, 2**40),
    st.lists(st.integers(1, 0xFFFF), max_size=3),
    st.integers(1, 15),
    st.randoms(use_true_random=False),
)
def test_setpoints_come_back(
    first_us: int, steps_us: list[int], joints: int, chance: random.Random
) -> None:
    times_us = [first_us + sum(steps_us[:k]) for k in range(len(steps_us) + 1)]
    knots = np.array(
        [[chance.randint(-32768, 32767) for _ in range(joints)] for _ in times_us], np.int16
    )
    unpacked = messages.unpack_setpoints(messages.pack_setpoints(times_us, knots))
    assert unpacked is not None
    assert unpacked[0] == [time_us % 2**32 for time_us in times_us]
    np.testing.assert_array_equal(unpacked[1], knots)


@given(st.floats(-1e6, 1e6))
def test_angles_saturate_and_never_wrap(angle_rad: float) -> None:
    unit = int(units.angle_units(np.array([angle_rad]))[0])
    limited = min(max(angle_rad, -8.0), 32767 / 4096)
    assert abs(unit / 4096 - limited) <= 0.5 / 4096 + 1e-9


@given(st.lists(st.integers(-2_000_000, 12_000_000), min_size=3, max_size=60))
def test_knots_are_whole_periods_apart_and_never_nearer_than_one(jitter_ns: list[int]) -> None:
    period_ns, lead_ns = 5_000_000, 12_000_000
    schedule = KnotSchedule(period_ns, lead_ns, 3)
    angles = np.zeros(2, np.int16)
    stamp_ns, previous_ns = 10**9, None
    for late_ns in jitter_ns:
        stamp_ns += max(1, period_ns + late_ns)
        knots = schedule.add(stamp_ns, angles)
        assert len(knots) <= 3
        for early, late in itertools.pairwise(knots):
            assert (late.time_ns - early.time_ns) % period_ns == 0 and late.time_ns > early.time_ns
        if len(knots) > 1:
            assert previous_ns == knots[-2].time_ns
        previous_ns = knots[-1].time_ns


@given(st.lists(st.binary(max_size=150), max_size=8), st.integers(0, 2**34))
def test_the_c_core_survives_any_bytes_from_both_sides(pieces: list[bytes], now_us: int) -> None:
    core = Core()
    for piece in pieces:
        core.from_host(piece, now_us)
        core.from_motors(piece)
        now_us += 700
        core.poll(now_us)
    assert core.to_host() == b""  # nobody with a good CRC said HELLO


@given(st.lists(st.binary(max_size=130), max_size=20), st.sampled_from(sorted(MessageType)))
def test_no_body_with_a_good_crc_moves_an_arm_that_is_not_armed(
    pieces: list[bytes], kind: MessageType
) -> None:
    rig = Rig()
    rig.hello()
    rig.configure()
    for body in pieces:
        if kind != MessageType.ARM and len(body) <= wire.MAX_BODY:
            rig.send(kind, body)
            rig.run(1000)
    assert not any(servo.has_torque for servo in rig.servos)
    assert all(servo.goal_ticks == 2048 for servo in rig.servos)


@pytest.mark.parametrize("target", ["fuzz-decoders", "fuzz-controller"])
def test_the_c_core_under_sanitizers_takes_noise(target: str) -> None:
    seed = random.SystemRandom().randrange(1, 2**32)
    program = built(target)
    done = subprocess.run(
        [program, str(FUZZ_INPUTS), str(seed)],
        capture_output=True,
        text=True,
        timeout=FUZZ_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stdout}{done.stderr}"
