"""``oat-edge bench bus``: its rows, and that no cycle is faster than its wire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge.commands.benchmarks.bus import bench_bus
from edge.errors import UsageError
from tests.contract.rigs import short_runtime_directory

KEYS = {"protocol", "joints", "cycle_us_p50", "cycle_us_p99", "wire_limit_us", "ratio", "codec_us"}


@pytest.fixture(autouse=True)
def runtime_directory() -> Iterator[None]:
    with short_runtime_directory():
        yield


def test_a_row_compares_cycles_with_the_wire_and_says_what_the_codec_costs() -> None:
    rows = bench_bus("dynamixel,moteus", [2], cycles=10)["rows"]
    assert [row["protocol"] for row in rows] == ["dynamixel", "moteus"]
    for row in rows:
        assert row.keys() >= KEYS
        assert row["lost"] == 0
        assert 0 < row["codec_us"] < row["cycle_us_p50"]
        assert row["ratio"] >= 1.0  # the line is paced to the bit: nothing is faster
    assert [row["reaction_us"] for row in rows] == [0.0, 20.0]


def test_the_wire_limit_grows_with_the_joints() -> None:
    from firmware_bridge.protocols import load_protocols

    for spec in load_protocols().values():
        one, seven = spec.wire_us(1), spec.wire_us(7)
        assert one < seven <= 7 * one


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(UsageError, match="protocol 'semaphore' is not known"):
        bench_bus("semaphore", [1], cycles=10)
