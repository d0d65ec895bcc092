"""``oat-edge run mobile-viperx``: drive to the table and pick, on two buses in every tick."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.log_reader import read_log
from tests.hil.robot_run import finish, start


@pytest.mark.hil
def test_it_drives_to_the_table_and_lifts_the_cube_on_two_buses(tmp_path: Path) -> None:
    process = start(tmp_path, "mobile-viperx", "--episodes", "1", "--json")
    code, out, err = finish(process)
    assert code == 0, err
    summary = json.loads(out)
    assert summary["successes"] == 1
    assert summary["limit_violations"] == 0
    assert set(summary["buses"]) == {"arm", "base"}
    for bus in summary["buses"].values():
        assert bus["cycles"] == summary["ticks"]
        assert bus["misses"] < bus["cycles"] / 2
    assert summary["ladder"]["drive"] > 100
    log = read_log(tmp_path / "run.mcap")
    docked = [event.reason for event in log.events if event.event == "docked"]
    assert len(docked) == 1 and not docked[0].startswith("badly")
    assert log.ticks["bus_ns"].shape[1] == 2
