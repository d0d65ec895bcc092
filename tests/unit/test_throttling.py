"""Throttling from a made-up sysfs, and the decision from made-up readings."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.system_files import SystemFiles
from edge.throttling import (
    FREE,
    NEAR_TRIP_C,
    NEAR_TRIP_FACTOR,
    POLL_NS,
    ClockReader,
    Clocks,
    Throttle,
    ThrottleWatch,
    Zone,
    judge,
)

CAP = "sys/devices/system/cpu/cpufreq/policy{}/scaling_max_freq"
GPU = "sys/class/devfreq/17000000.gpu/max_freq"
ZONE = "sys/class/thermal/thermal_zone0"


def put(root: Path, path: str, content: object) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{content}\n")


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A board like an Orin: two clusters, a GPU, one zone that throttles at 99 °C."""
    put(tmp_path, CAP.format(0), 2_201_600)
    put(tmp_path, CAP.format(4), 2_201_600)
    put(tmp_path, GPU, 1_300_500_000)
    put(tmp_path, "sys/class/devfreq/15340000.vic/max_freq", 729_600_000)
    put(tmp_path, f"{ZONE}/type", "cpu-thermal")
    put(tmp_path, f"{ZONE}/temp", 51_500)
    put(tmp_path, f"{ZONE}/trip_point_0_type", "critical")
    put(tmp_path, f"{ZONE}/trip_point_0_temp", 104_500)
    put(tmp_path, f"{ZONE}/trip_point_1_type", "passive")
    put(tmp_path, f"{ZONE}/trip_point_1_temp", 99_000)
    put(tmp_path, "var/lib/nvpmodel/status", "pmode:0000")
    return tmp_path


def reader(root: Path) -> ClockReader:
    return ClockReader(SystemFiles(root))


def test_a_reading_holds_caps_zones_and_power_mode(board: Path) -> None:
    clocks = reader(board).read()
    assert clocks.caps == {
        "policy0": 2_201_600,
        "policy4": 2_201_600,
        "17000000.gpu": 1_300_500_000,
    }
    assert clocks.zones == (Zone("cpu-thermal", 51.5, 99.0),)
    assert clocks.power_mode == "pmode:0000"


def test_a_machine_that_tells_nothing_is_never_throttled(tmp_path: Path) -> None:
    watch = ThrottleWatch(reader(tmp_path))
    assert [watch.poll(turn * POLL_NS) for turn in range(4)] == [None] * 4


def test_unreadable_numbers_are_left_out(board: Path) -> None:
    put(board, CAP.format(0), "<unsupported>")
    put(board, f"{ZONE}/temp", "")
    clocks = reader(board).read()
    assert "policy0" not in clocks.caps
    assert clocks.zones == ()


def test_the_slowest_domain_decides_by_its_ratio() -> None:
    reference = Clocks({"policy0": 2_000, "17000000.gpu": 1_200})
    throttle = judge(Clocks({"policy0": 1_600, "17000000.gpu": 400}), reference)
    assert throttle.factor == pytest.approx(3.0)
    assert "17000000.gpu clock capped at 33%" in throttle.reason


def test_the_reason_names_the_hottest_zone_and_the_power_mode() -> None:
    now = Clocks({"policy0": 1_000}, (Zone("gpu", 71.0), Zone("cpu", 97.2)), "pmode:0003")
    reason = judge(now, Clocks({"policy0": 2_000})).reason
    assert reason == "policy0 clock capped at 50%, cpu 97 °C, power mode pmode:0003"


@pytest.mark.parametrize(
    ("temperature_c", "factor"),
    [(99.0 - NEAR_TRIP_C - 0.1, 1.0), (99.0 - NEAR_TRIP_C, NEAR_TRIP_FACTOR)],
)
def test_a_zone_counts_only_close_to_its_trip_point(temperature_c: float, factor: float) -> None:
    clocks = Clocks({"policy0": 2_000}, (Zone("cpu", temperature_c, 99.0),))
    assert judge(clocks, Clocks({"policy0": 2_000})).factor == factor


def test_a_cap_that_is_felt_outweighs_one_that_is_feared() -> None:
    clocks = Clocks({"policy0": 1_000}, (Zone("cpu", 98.0, 99.0),))
    assert judge(clocks, Clocks({"policy0": 2_000})).factor == pytest.approx(2.0)


def test_a_clock_freed_since_the_profile_makes_stages_faster() -> None:
    throttle = judge(Clocks({"policy0": 2_000}), Clocks({"policy0": 1_000}))
    assert throttle == Throttle(0.5, "")


def test_rounding_of_a_cap_is_no_throttling() -> None:
    assert judge(Clocks({"policy0": 1_990}), Clocks({"policy0": 2_000})) == FREE


@pytest.mark.parametrize("cap", [0, -1])
def test_a_cap_that_cannot_be_is_ignored(cap: int) -> None:
    assert judge(Clocks({"policy0": cap}), Clocks({"policy0": 2_000})) == FREE


def test_a_core_that_went_offline_does_not_count(board: Path) -> None:
    watch = ThrottleWatch(reader(board))
    (board / CAP.format(4)).unlink()
    assert watch.poll(0) is None


def test_the_watch_speaks_of_the_begin_and_of_the_end_and_of_nothing_between(board: Path) -> None:
    watch = ThrottleWatch(reader(board))
    said = []
    for turn, cap in enumerate([2_201_600, 1_100_800, 1_100_800, 2_201_600, 2_201_600]):
        put(board, CAP.format(0), cap)
        said.append(watch.poll(turn * POLL_NS))
    assert [throttle and throttle.factor for throttle in said] == [None, 2.0, None, 1.0, None]
    assert said[1] is not None and said[1].reason.startswith("policy0 clock capped at 50%")


def test_the_watch_looks_no_more_often_than_it_says(board: Path) -> None:
    watch = ThrottleWatch(reader(board))
    assert watch.poll(0) is None
    put(board, CAP.format(0), 1_100_800)
    assert watch.poll(POLL_NS - 1) is None
    assert watch.poll(POLL_NS) is not None


def test_the_reference_may_be_the_state_of_a_stored_profile(board: Path) -> None:
    watch = ThrottleWatch(reader(board), Clocks({"policy0": 4_403_200}))
    throttle = watch.poll(0)
    assert throttle is not None and throttle.factor == pytest.approx(2.0)
