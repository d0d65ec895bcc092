"""The rehearsal runs the real servo on a bus without a wire, and the dry run reports on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.bundle import Bundle
from edge.commands import dry_run
from edge.errors import RunError
from edge.rehearsal import LEAST_TICKS, Rehearsal
from edge.session import Session
from tests.edge_parts import POSE_KEY, make_manifest, make_robot


def rehearsed_robot(folder: Path, **changes: Any) -> Any:
    return make_robot(trackers={POSE_KEY: {"socket": str(folder / "pose.socket")}}, **changes)


def test_every_tick_of_a_rehearsal_follows_the_policy_and_is_timed(tmp_path: Path) -> None:
    robot = rehearsed_robot(tmp_path, servo__rate_hz=500)
    session = Session(directory=tmp_path, robot=robot, bundle=tmp_path, seed=0)
    rehearsal = Rehearsal(session, make_manifest())
    try:
        compute_ns = rehearsal.run(seconds=0.1)
    finally:
        rehearsal.close()
    assert LEAST_TICKS / 2 <= len(compute_ns) <= LEAST_TICKS
    assert (compute_ns > 0).all()


def refused() -> tuple[Any, Bundle]:
    """Two servos at 57 600 baud and 500 Hz: 1 frame of each kind takes far more than 2 ms."""
    robot = make_robot(servo__rate_hz=500, buses__arm__baud=57_600)
    return robot, Bundle(Path("bundle"), make_manifest(), "0" * 64)


def test_what_the_wire_rules_out_is_refused_without_a_measurement() -> None:
    report = dry_run.examine(*refused())
    assert report["verdict"] == "refused"
    assert report["planner"] is None
    assert report["servo"]["compute_us"] is None
    assert "servo.rate_hz 500 cannot hold" in report["reasons"][0]
    assert "by the wire alone" in report["reasons"][0]


def test_a_refusal_prints_the_report_and_raises_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    robot, loaded = refused()
    monkeypatch.setattr(dry_run, "find_bundle", Path)
    monkeypatch.setattr(dry_run, "load_admitted", lambda _path, _policy: loaded)
    with pytest.raises(RunError, match="cannot hold"):
        dry_run.dry_run(robot, "any", as_json=False)
    printed = capsys.readouterr().out
    assert "tick at 500 Hz" in printed
    assert "refused" in printed


def test_a_rehearsal_never_takes_a_real_port_or_socket() -> None:
    robot = dry_run._all_emulated(make_robot())
    assert {bus.port for bus in robot.buses.values()} == {"emulated"}
    assert {tracker.socket for tracker in robot.trackers.values()} == {"emulated"}
