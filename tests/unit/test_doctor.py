"""The doctor on made-up machines: a bad one, a good one, and one that tells nothing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.commands.main import app
from edge.doctor import buses, checkup, kernel, limits, power, software, wake_up
from edge.doctor.finding import Finding, Status
from edge.doctor.kernel import parse_cores
from edge.doctor.wake_up import WakeUps
from edge.system_files import SystemFiles

POLICY = "sys/devices/system/cpu/cpufreq/policy0"
GOOD = {
    "proc/version": "Linux version 5.15 #1 SMP PREEMPT_RT",
    "proc/sys/kernel/sched_rt_runtime_us": "950000",
    "proc/sys/kernel/sched_rt_period_us": "1000000",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "arch_sys_counter",
    "sys/devices/system/cpu/isolated": "4-5",
    "proc/irq/12/effective_affinity_list": "0-3",
    "proc/self/limits": "Max locked memory  unlimited unlimited bytes\nMax realtime priority 98 98",
    "proc/self/status": "CapEff:\t0000000000000000",
    f"{POLICY}/scaling_governor": "performance",
    f"{POLICY}/scaling_max_freq": "2201600",
    f"{POLICY}/cpuinfo_max_freq": "2201600",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
    "sys/class/thermal/thermal_zone0/temp": "48000",
    "var/lib/nvpmodel/status": "pmode:0000",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=2 NAME=MODE_30W >",
    "sys/bus/usb-serial/devices/ttyUSB0/latency_timer": "1",
    "sys/class/net/can0/type": "280",
    "sys/class/net/can0/tx_queue_len": "128",
    "sys/class/net/eth0/type": "1",
    "usr/local/cuda/version.json": '{"cuda": {"version": "12.6.68"}}',
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3",
}


def machine(root: Path, **changes: str | None) -> SystemFiles:
    """The good machine with some files changed, or left out where None."""
    names = {name.rsplit("/", 1)[1]: name for name in GOOD}
    files = dict(GOOD) | {names[key]: value for key, value in changes.items()}
    for name, content in files.items():
        if content is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content + "\n")
    return SystemFiles(root)


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_machine_in_good_order_has_nothing_to_mend(tmp_path: Path) -> None:
    findings = checkup.examine(machine(tmp_path))
    assert [f for f in findings if f.status in (Status.WARN, Status.FAIL)] == []
    assert [f for f in findings if f.fix] == []
    assert checkup.healthy(findings)


def test_a_machine_that_tells_nothing_gets_no_advice(tmp_path: Path) -> None:
    findings = checkup.examine(SystemFiles(tmp_path))
    assert {f.status for f in findings if f.area != software.AREA} == {Status.ABSENT}


@pytest.mark.parametrize(
    ("area", "name", "changes", "status", "value"),
    [
        (kernel, "preemption", {"version": "#1 SMP"}, "warn", "none"),
        (kernel, "preemption", {"version": "#1 SMP PREEMPT"}, "ok", "PREEMPT"),
        (kernel, "real-time throttling", {"sched_rt_runtime_us": "-1"}, "ok", "off"),
        (kernel, "real-time throttling", {"sched_rt_runtime_us": "500000"}, "warn", "50%"),
        (kernel, "clock source", {"current_clocksource": "hpet"}, "warn", "hpet"),
        (kernel, "isolated cores", {"isolated": ""}, "warn", "none"),
        (kernel, "interrupt affinity", {"isolated": ""}, "absent", ""),
        (kernel, "interrupt affinity", {"effective_affinity_list": "2,5"}, "warn", "IRQ 12"),
        (power, "governor", {"scaling_governor": "schedutil"}, "warn", "schedutil"),
        (power, "clock caps", {"scaling_max_freq": "1100800"}, "warn", "capped at 50%"),
        (buses, "USB latency timer of ttyUSB0", {"latency_timer": "16"}, "fail", "16 ms"),
        (buses, "CAN send queue of can0", {"tx_queue_len": "10"}, "warn", "10 frames"),
        (software, "CUDA", {"version.json": "{"}, "absent", ""),
    ],
)
def test_each_fault_is_found(
    tmp_path: Path, area: object, name: str, changes: dict[str, str], status: str, value: str
) -> None:
    finding = by_name(area.examine(machine(tmp_path, **changes)))[name]  # type: ignore[attr-defined]
    assert finding.status.value == status
    assert value in finding.value
    assert bool(finding.fix) == (status in ("warn", "fail"))


def test_a_lower_power_mode_is_named(tmp_path: Path) -> None:
    files = machine(tmp_path)
    (tmp_path / "var/lib/nvpmodel/status").write_text("pmode:0002 fmode:fanNull")
    finding = power.power_mode(files)
    assert (finding.status, finding.value) == (Status.WARN, "2 MODE_30W")


@pytest.mark.parametrize(
    ("shown", "command_line", "built", "model"),
    [
        ("none voluntary (full) lazy", "", "", "full"),
        (None, "quiet preempt=voluntary", "", "voluntary"),
        (None, "quiet", "CONFIG_PREEMPT_NONE=y", "none"),
        (None, "quiet", "CONFIG_PREEMPT=y", "full"),
        (None, "quiet", "", "unknown"),
    ],
)
def test_a_dynamic_kernel_tells_its_model_in_one_of_three_places(
    tmp_path: Path, shown: str | None, command_line: str, built: str, model: str
) -> None:
    files = machine(tmp_path, version="#1 SMP PREEMPT_DYNAMIC")
    (tmp_path / "proc/cmdline").write_text(command_line)
    (tmp_path / "proc/config.gz").write_bytes(gzip.compress(built.encode()))
    if shown is not None:
        (tmp_path / "sys/kernel/debug/sched").mkdir(parents=True)
        (tmp_path / "sys/kernel/debug/sched/preempt").write_text(shown)
    assert model in kernel.preemption(files).value


def test_a_damaged_kernel_configuration_is_no_crash(tmp_path: Path) -> None:
    files = machine(tmp_path, version="#1 SMP PREEMPT_DYNAMIC")
    (tmp_path / "proc/config.gz").write_bytes(gzip.compress(b"CONFIG")[:12])
    assert "unknown" in kernel.preemption(files).value


@pytest.mark.parametrize("priority", ["79", "80"])
def test_the_priority_that_the_servo_asks_for_is_the_least(tmp_path: Path, priority: str) -> None:
    files = machine(tmp_path, limits=f"Max realtime priority     {priority}    {priority}")
    finding = limits.priority(files)
    assert finding.status is (Status.OK if priority == "80" else Status.FAIL)
    assert checkup.healthy([finding]) == (priority == "80")


def test_a_capability_stands_above_any_limit(tmp_path: Path) -> None:
    files = machine(
        tmp_path,
        limits="Max locked memory  8388608  8388608 bytes\nMax realtime priority  0  0",
    )
    assert limits.priority(files).status is Status.FAIL
    assert limits.locked_memory(files).status is Status.WARN
    (tmp_path / "proc/self/status").write_text("Name:\tx\nCapEff:\t000001ffffffffff\n")
    assert limits.priority(files).status is Status.OK
    assert limits.locked_memory(files).status is Status.OK


@pytest.mark.parametrize(
    ("text", "cores"),
    [("", set()), ("3", {3}), ("0-2,5", {0, 1, 2, 5}), ("x,1-y,4", {4}), ("managed_irq,1", {1})],
)
def test_core_lists_are_read(text: str, cores: set[int]) -> None:
    assert parse_cores(text) == cores


@pytest.mark.parametrize(
    ("p99_us", "status"), [(200, Status.OK), (201, Status.WARN), (2_001, Status.FAIL)]
)
def test_wake_ups_are_judged_by_their_p99(p99_us: int, status: Status) -> None:
    lateness_ns = [30_000] * 980 + [p99_us * 1000] * 20
    (finding,) = wake_up.examine(WakeUps(tuple(lateness_ns)))
    assert finding.status is status
    assert f"p50 30, p99 {p99_us}" in finding.value


def test_the_histogram_counts_every_wake_up_once() -> None:
    wake_ups = WakeUps((0, 9_999, 10_000, 199_999, 200_000, 4_999_999, 5_000_000, 90_000_000))
    counts = wake_ups.histogram()
    assert sum(counts.values()) == 8
    assert counts["<10"] == 2
    assert counts["<20"] == 1
    assert counts["<200"] == 1
    assert counts["<500"] == 1
    assert counts["<5000"] == 1
    assert counts[">=5000"] == 2


def test_the_command_prints_findings_as_json_and_agrees_with_its_exit_code() -> None:
    result = CliRunner().invoke(app, ["doctor", "--seconds", "0", "--json"])
    report = json.loads(result.stdout)
    assert result.exit_code == (0 if report["healthy"] else 1)
    assert {"area", "name", "status", "value", "fix"} == set(report["findings"][0])
    assert "wake_up" not in report


def test_a_failure_is_exit_code_1_and_shows_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Finding("kernel", "clock", Status.FAIL, "slow [hpet]", "boot with [tsc]")
    monkeypatch.setattr(checkup, "AREAS", (lambda _files: [fault],))
    result = CliRunner().invoke(app, ["doctor", "--seconds", "0"])
    assert result.exit_code == 1
    assert "slow [hpet]" in result.stdout
    assert "boot with [tsc]" in result.stdout
