"""The loop benchmark: its yardstick, its arithmetic, a short run beside a stand-in yardstick."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge.commands.benchmarks import loop
from edge.commands.benchmarks.cyclictest import LONGEST_US, Cyclictest
from edge.commands.benchmarks.lateness import of_histogram, of_samples
from edge.commands.benchmarks.loop_process import LoopProcess, Setup, Slice
from edge.commands.benchmarks.stolen import stolen_ms
from edge.commands.main import app
from edge.errors import RunError, UsageError
from edge.robot import ServoRates, load_robot

YARDSTICK = """
import json, sys
options = dict(word.split("=") for word in sys.argv[1:] if "=" in word)
if {refuses}:
    sys.exit("Unable to change scheduling policy!")
thread = {{"histogram": {{"40": int(options["--loops"])}}, "cycles": int(options["--loops"])}}
report = {{"thread": {{"0": thread | {{"max": 40}}}}}}
open(options["--json"], "w").write(json.dumps(report))
"""


@pytest.fixture
def yardstick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a program named cyclictest first in the path: always 40 µs late, or one that refuses."""

    def install(refuses: bool = False) -> None:
        program = tmp_path / "cyclictest"
        program.write_text(f"#!{sys.executable}\n" + YARDSTICK.format(refuses=refuses))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(tmp_path))

    return install


def settings(rate_hz: int = 500) -> ServoRates:
    return ServoRates(rate_hz=rate_hz, lock_memory=False)


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=300))
def test_a_histogram_and_its_samples_have_the_same_quantiles(samples_us: list[int]) -> None:
    samples_ns = np.array(samples_us) * 1_000
    assert of_histogram(Counter(samples_us)) == of_samples(samples_ns)


def test_quantiles_are_by_nearest_rank() -> None:
    quantiles = of_samples(np.arange(1, 1_001) * 1_000)
    assert quantiles == {"p50_us": 500.0, "p99_us": 990.0, "p999_us": 999.0, "max_us": 1_000.0}


def test_wake_ups_beyond_the_histogram_count_as_the_longest(yardstick: Any) -> None:
    yardstick()
    test = Cyclictest(2_000_000, None, None, lock=False)
    test.add({"thread": {"0": {"histogram": {"20": 8}, "cycles": 10, "max": 90_000}}})
    test.add({"thread": {"0": {"histogram": {"20": 5}, "cycles": 6, "max": 7}}})
    assert test.counts == {20: 13, 90_000: 2, LONGEST_US: 1}


def test_a_missing_cyclictest_names_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunError, match="package rt-tests"):
        Cyclictest(2_000_000, 80, None, lock=True)


def test_cyclictests_own_complaint_is_passed_on(yardstick: Any) -> None:
    yardstick(refuses=True)
    with pytest.raises(RunError, match="cyclictest: Unable to change scheduling policy!"):
        Cyclictest(2_000_000, 80, None, lock=False).measure(10)


def test_without_a_real_time_priority_the_yardstick_is_asked_for_none(yardstick: Any) -> None:
    yardstick()
    test = Cyclictest(2_000_000, None, 1, lock=False)
    assert "--policy=other" in test._command
    assert not [word for word in test._command if word.startswith("--priority")]
    test.measure(10)
    assert test.counts == {40: 10}


class Refused:
    """A loop process that the kernel gave nothing."""

    setup = Setup(fifo=False, locked=False, warnings=("no SCHED_FIFO",))

    def measure(self, loop: str, ticks: int) -> Slice:
        spun_ns = 1_000 if loop == "spinning" else 0
        return Slice(np.full(ticks, 50_000), ticks * 2_000_000, 30_000, spun_ns, spun_ns)


def test_where_the_kernel_refuses_real_time_the_loops_run_and_the_ratios_are_missing(
    yardstick: Any,
) -> None:
    yardstick(refuses=True)
    refused: Any = Refused()
    trial = loop.Trial(refused, settings(), "cyclictest")
    trial.run(0.1)
    result = trial.result()
    assert result["servo"]["p99_us"] == 50.0
    assert result["cyclictest"] is None
    assert result["ratio_p99"] is None
    assert result["scheduler"]["policy"] == "SCHED_OTHER"
    assert result["warnings"][0] == "no SCHED_FIFO"
    assert "no ratios: cyclictest: Unable to change" in result["warnings"][1]


def test_the_loop_process_measures_every_tick_and_what_it_spun() -> None:
    with LoopProcess(settings()) as process:
        spinning = process.measure("spinning", 60)
        frugal = process.measure("frugal", 60)
    for part in (spinning, frugal):
        assert part.lateness_ns.shape == (60,)
        assert (part.lateness_ns >= 0).all()
        assert part.wall_ns >= 60 * 2_000_000
    assert spinning.spun_ns > 0
    assert frugal.spun_ns == 0
    assert frugal.slack_ns == 0


def test_a_loop_process_that_died_is_reported() -> None:
    with LoopProcess(settings()) as process:
        process._process.kill()
        process._process.join()
        with pytest.raises((RunError, BrokenPipeError)):
            process.measure("spinning", 10)


def test_a_run_reports_all_three_loops_and_their_ratios(
    yardstick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    yardstick()
    monkeypatch.setattr(loop, "WARM_UP_TICKS", 20)
    (result,) = loop.run(load_robot("viperx"), 500, 0.2, "cyclictest", ["none"])
    assert result["rate_hz"] == 500
    assert result["ticks"] == 100
    assert result["cyclictest"] == dict.fromkeys(result["servo"], 40.0)
    assert result["ratio_p99"] == pytest.approx(result["servo"]["p99_us"] / 40, abs=1e-4)
    assert result["ratio_p99_frugal"] == pytest.approx(result["frugal"]["p99_us"] / 40, abs=1e-4)
    assert 0 < result["core_share"] < 1
    assert result["scheduler"]["policy"] in ("SCHED_FIFO", "SCHED_OTHER")


def test_what_a_hypervisor_took_is_told_for_the_turns_of_each_loop(
    yardstick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    yardstick()
    readings = iter([0.0, 10.0, 10.0, 40.0, 40.0, 40.0])
    monkeypatch.setattr(loop, "stolen_ms", lambda: next(readings))
    refused: Any = Refused()
    trial = loop.Trial(refused, settings(), "cyclictest")
    trial.run(0.1)
    assert trial.result()["stolen_ms"] == {"servo": 10.0, "cyclictest": 30.0, "frugal": 0.0}


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("cpu  9 8 7 6 5 4 3 250 1 0\ncpu0 1 1 1 1 1 1 1 99 0 0\n", 2500.0),
        ("cpu  9 8 7 6\n", 0.0),
        ("", 0.0),
    ],
)
def test_stolen_time_is_read_of_all_cores_together(
    tmp_path: Path, text: str, expected_ms: float
) -> None:
    (tmp_path / "stat").write_text(text)
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    assert stolen_ms(tmp_path / "stat") == expected_ms * 100 / ticks_per_s
    assert stolen_ms(tmp_path / "missing") == 0.0


def test_several_stresses_make_a_list_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.commands.benchmarks import loop as module

    made = [{"rate_hz": 200, "stress": "none"}, {"rate_hz": 200, "stress": "planner"}]
    monkeypatch.setattr(module, "run", lambda *_arguments: made)
    monkeypatch.setattr("edge.commands.bundles.find_bundle", Path)
    result = CliRunner().invoke(app, ["bench", "loop", "--stress", "none,planner", "--json"])
    assert json.loads(result.stdout) == {"runs": made}


@pytest.mark.parametrize(
    ("against", "stress", "option"), [("x", "none", "--against"), ("none", "x", "--stress")]
)
def test_unknown_choices_are_refused_by_name(against: str, stress: str, option: str) -> None:
    with pytest.raises(UsageError, match=f"{option} is 'x', allowed are"):
        loop.run(load_robot("viperx"), 500, 0.1, against, [stress])
