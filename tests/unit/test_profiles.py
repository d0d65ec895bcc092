"""Stored latency profiles: found for exactly what they are of, with the clocks of their time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.engines import resolve
from edge.errors import UsageError
from edge.latency import Samples
from edge.profiles import ProfileKey, StoredProfile, find_profile, plans_for
from edge.throttling import ClockReader, Clocks, ThrottleWatch, Zone
from tests.needs import require
from tests.unit.test_throttling import CAP, SystemFiles, put

KEY = ProfileKey(device="board", power_mode="MAXN", bundle="ab", engine="ort", precision="int8")
CLOCKS = Clocks({"cpu0": 2_000_000, "gpu": 1_300}, (Zone("cpu", 50.5, 99.0), Zone("soc", 40.0)))


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def samples(plans: int = 100) -> Samples:
    rng = np.random.default_rng(0)
    return Samples(
        prefix=rng.integers(1, 9, plans),
        prefill_ns=rng.integers(100_000, 200_000, plans),
        token_ns=rng.integers(100_000, 200_000, (plans, 8)),
        decode_ns=rng.integers(100_000, 200_000, plans),
    )


def test_a_profile_is_found_again_with_the_clocks_that_it_was_measured_at() -> None:
    stored = StoredProfile.of(KEY, samples(), CLOCKS)
    stored.save()
    assert find_profile(KEY) == stored
    assert stored.clocks == CLOCKS


@pytest.mark.parametrize("other", [{"precision": "fp32"}, {"power_mode": "15W"}, {"bundle": "cd"}])
def test_a_profile_of_anything_else_is_none(other: dict[str, str]) -> None:
    StoredProfile.of(KEY, samples(), CLOCKS).save()
    assert find_profile(KEY.model_copy(update=other)) is None


def test_a_profile_that_does_not_know_its_clocks_still_counts() -> None:
    path = StoredProfile.of(KEY, samples(), CLOCKS).save()
    content = json.loads(path.read_text())
    del content["clocks"]
    path.write_text(json.dumps(content))
    found = find_profile(KEY)
    assert found is not None and found.clocks is None


def test_a_profile_that_is_cut_off_is_none() -> None:
    path = StoredProfile.of(KEY, samples(), CLOCKS).save()
    path.write_bytes(path.read_bytes()[:-1])
    assert find_profile(KEY) is None


def test_a_start_on_a_throttled_board_is_judged_by_the_clocks_of_the_profile(
    tmp_path: Path,
) -> None:
    put(tmp_path, CAP.format(0), 2_000_000)
    reader = ClockReader(SystemFiles(tmp_path))
    StoredProfile.of(KEY, samples(), reader.read()).save()
    put(tmp_path, CAP.format(0), 1_000_000)  # and only then does a run start
    found = find_profile(KEY)
    assert found is not None
    throttle = ThrottleWatch(reader, found.clocks).poll(1)
    assert throttle is not None and throttle.factor == pytest.approx(2.0)
    assert "capped at 50%" in throttle.reason


@pytest.mark.parametrize(
    ("plans", "finest"), [(100, 0.9), (299, 0.9), (300, 0.99), (3_000, 0.999), (30_000, 0.9999)]
)
def test_only_quantiles_that_the_plans_support_are_stored(plans: int, finest: float) -> None:
    stored = StoredProfile.of(KEY, samples(plans))
    assert stored.quantiles[-1] == finest
    assert {len(row) for row in stored.finish_ns} == {len(stored.quantiles)}
    assert max(len(row) for row in stored.decode_ns.values()) <= len(stored.quantiles)
    assert plans_for(finest) <= plans


def test_the_planner_gets_the_quantile_of_its_miss_target_or_the_finest_there_is() -> None:
    many, few = StoredProfile.of(KEY, samples(30_000)), StoredProfile.of(KEY, samples(300))
    assert many.profile(0.001).finish_ns == tuple(row[3] for row in many.finish_ns)
    assert many.profile(0.0001).finish_ns == tuple(row[4] for row in many.finish_ns)
    assert few.profile(0.001).finish_ns == tuple(row[2] for row in few.finish_ns)
    with pytest.raises(UsageError, match=r"miss target is 1e-05, allowed is 0\.0001 or more"):
        many.profile(0.00001)


def test_a_profile_of_the_engine_auto_is_stored_where_the_planner_looks(tmp_path: Path) -> None:
    require("torch")
    from tests.bundles import tiny_bundle

    loaded = tiny_bundle(tmp_path)
    entry = "from edge.commands.main import main; main()"
    command = [sys.executable, "-c", entry, "calibrate", "latency", str(loaded.path)]
    options = ["--engine", "auto", "--precision", "fp32", "--n", "100", "--json"]
    done = subprocess.run([*command, *options], check=True, capture_output=True, timeout=120)
    assert b"100 plans support p90 at most; p99.9 needs --n 3000" in done.stderr
    name = resolve(loaded, "auto", "fp32")
    assert name != "auto"
    assert find_profile(ProfileKey.here(loaded.digest, name, "fp32")) is not None
