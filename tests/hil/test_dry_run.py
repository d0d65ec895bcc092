"""``oat-edge run --dry-run`` on an arm that would move if it were told to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hil.robot_run import finish, robot_yaml, start, tracked_arm

pytestmark = pytest.mark.hil

SHARES = ("p50", "p99", "p999")


def test_a_dry_run_measures_a_real_port_without_torque_or_leave_to_move(tmp_path: Path) -> None:
    with tracked_arm(tmp_path) as arm:
        process = start(tmp_path, str(robot_yaml(tmp_path)), "--dry-run", "--json")
        code, out, err = finish(process)
        assert not arm.torque_seen
    report = json.loads(out.splitlines()[-1])
    assert code == (1 if report["reasons"] else 0), err
    servo, planner = report["servo"], report["planner"]
    wire = servo["buses"]["arm"]
    assert (wire["read_us"], wire["write_us"]) == (1270.0, 490.0)
    assert servo["measured_read_us"]["p50"] >= wire["read_us"]
    assert 0 < servo["compute_us"]["p50"] <= servo["compute_us"]["p99"]
    prefixes = [planner["prefix"][share] for share in SHARES]
    assert prefixes == sorted(prefixes, reverse=True)
    times = [planner["plan_us"][str(k)]["p50"] for k in range(1, 9)]
    assert 0 < times[0] < times[-1]
    assert not (tmp_path / "run.mcap").exists()


@pytest.mark.parametrize("options", [("--dry-run", "--json"), ()])
def test_a_rate_beyond_the_wire_is_refused_before_anything_starts(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    with tracked_arm(tmp_path) as arm:
        path = robot_yaml(tmp_path, servo__rate_hz=1_000)
        code, _out, err = finish(start(tmp_path, str(path), *options))
        assert not arm.torque_seen
    assert code == 1
    assert "servo.rate_hz 1000 cannot hold" in err
    assert len(err.strip().splitlines()) == 1
