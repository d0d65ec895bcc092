"""The test vectors of docs/oatlink.md, in Python and in C."""

from __future__ import annotations

import ctypes
import json
from typing import Any

import numpy as np
import pytest

from firmware_bridge.oatlink import can_fd, cobs, messages, wire
from firmware_bridge.oatlink.config import JointSettings, OatlinkConfig
from firmware_bridge.oatlink.firmware import SOURCES
from firmware_bridge.oatlink.wire import Header, MessageType, Sealer
from tests.unit.oatlink_core import ROOM, library

VECTORS: dict[str, Any] = json.loads(
    (SOURCES.parent / "oatlink" / "vectors.json").read_text(encoding="utf-8")
)
PAYLOADS = VECTORS["payloads"]
each_payload = pytest.mark.parametrize("row", PAYLOADS, ids=lambda row: row["name"])


def sealed_in_c(row: dict[str, Any]) -> bytes:
    out = ctypes.create_string_buffer(ROOM)
    body = bytes.fromhex(row["body"])
    size = library().oat_library_seal(
        bytes.fromhex(row["key"]) or None,
        ctypes.c_uint32(row["session"]),
        row["type"],
        ctypes.c_uint16(row["sequence"]),
        ctypes.c_uint64(row["time_us"]),
        body,
        ctypes.c_size_t(len(body)),
        out,
    )
    return out.raw[:size]


def opened_in_c(row: dict[str, Any], payload: bytes, now_us: int) -> tuple[int, int, int, bytes]:
    kind, sequence, time_us = ctypes.c_uint8(), ctypes.c_uint16(), ctypes.c_uint64()
    body = ctypes.create_string_buffer(ROOM)
    size = library().oat_library_open(
        bytes.fromhex(row["key"]) or None,
        ctypes.c_uint32(row["session"]),
        ctypes.c_uint64(now_us),
        payload,
        ctypes.c_size_t(len(payload)),
        ctypes.byref(kind),
        ctypes.byref(sequence),
        ctypes.byref(time_us),
        body,
    )
    assert size >= 0, "refused"
    return kind.value, sequence.value, time_us.value, body.raw[:size]


def receiver_time(row: dict[str, Any]) -> int:
    return int(row["time_us"]) + 250_000


@pytest.mark.parametrize("row", VECTORS["crc32"])
def test_both_crcs_give_the_catalogues_check_value(row: dict[str, Any]) -> None:
    data = bytes.fromhex(row["data"])
    assert library().oat_library_crc32(data, ctypes.c_size_t(len(data))) == row["crc"]
    assert wire.crc32_autosar(data) == row["crc"]


@pytest.mark.parametrize("row", VECTORS["cobs"])
def test_cobs_is_as_its_authors_have_it(row: dict[str, str]) -> None:
    assert cobs.encode(bytes.fromhex(row["data"])).hex() == row["encoded"]
    assert cobs.decode(bytes.fromhex(row["encoded"])) == bytes.fromhex(row["data"])


def test_the_config_records_and_their_crc_are_the_vectors() -> None:
    made = OatlinkConfig(
        (
            JointSettings(1, -3.14, 3.14, 3.0, 30.0),
            JointSettings(2, -1.8, 1.2, 3.0, 30.0, direction=-1, zero_rad=0.1, follower_id=3),
        )
    )
    assert [record.hex() for record in made.records] == VECTORS["config"]["records"]
    assert made.crc == VECTORS["config"]["crc"]


@each_payload
def test_python_seals_and_opens_the_vectors(row: dict[str, Any]) -> None:
    sealer = Sealer(bytes.fromhex(row["key"]))
    header = Header(MessageType(row["type"]), row["sequence"], row["time_us"])
    body = bytes.fromhex(row["body"])
    payload = sealer.seal(header, row["session"], body)
    assert payload.hex() == row["payload"]
    assert wire.frame_bytes(payload).hex() == row["frame"]
    assert sealer.open(payload, row["session"], receiver_time(row)) == (header, body)


@each_payload
def test_c_seals_and_opens_the_vectors(row: dict[str, Any]) -> None:
    assert sealed_in_c(row).hex() == row["payload"]
    opened = opened_in_c(row, bytes.fromhex(row["payload"]), receiver_time(row))
    assert opened == (row["type"], row["sequence"], row["time_us"], bytes.fromhex(row["body"]))


@pytest.mark.parametrize("kind", ["welcome", "telemetry", "ack", "setpoints"])
def test_bodies_unpack_to_the_fields_of_the_vectors(kind: str) -> None:
    row = next(row for row in PAYLOADS if row["name"].startswith(kind))
    body, fields = bytes.fromhex(row["body"]), row["fields"]
    if kind == "setpoints":
        unpacked = messages.unpack_setpoints(body)
        assert unpacked is not None
        assert unpacked[0] == fields["times_us"] and unpacked[1].tolist() == fields["knots"]
        return
    record = getattr(messages, f"unpack_{kind}")(body)
    names = {"request_sequence": "sequence"} if kind == "ack" else {}
    for name, value in fields.items():
        found = getattr(record, names.get(name, name))
        assert (found.tolist() if isinstance(found, np.ndarray) else found) == value
    assert record.pack() == body


@each_payload
def test_one_can_fd_frame_carries_each_vector(row: dict[str, Any]) -> None:
    payload = bytes.fromhex(row["payload"])
    data = can_fd.to_can_fd(payload)
    assert len(data) in can_fd.LENGTHS
    assert can_fd.from_can_fd(data, joints=2, with_tag=bool(row["key"])) == payload


def test_seven_joints_fill_a_can_fd_frame_to_the_last_byte() -> None:
    body = messages.pack_setpoints([1000, 6000, 11_000], np.zeros((3, 7), np.int16))
    payload = Sealer().seal(Header(MessageType.SETPOINTS, 1, 2), 3, body)
    zeros = np.zeros(7, np.int16)
    report = messages.Telemetry(1, 0, 0, 3, 9, 0, 0, 0, 10, zeros, zeros, zeros)
    answer = Sealer().seal(Header(MessageType.TELEMETRY, 1, 2), 3, report.pack())
    assert len(payload) == len(answer) == 64
    for sent in (payload, answer):
        assert can_fd.from_can_fd(can_fd.to_can_fd(sent), joints=7, with_tag=False) == sent
