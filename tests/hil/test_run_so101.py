"""``oat-edge run so101``: the whole way with Feetech servos at the end of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge.log_reader import read_log
from tests.hil.robot_run import finish, start

pytestmark = pytest.mark.hil
POLICY = "so101-lift"
LIFTED_OF_TWO = 1  # of two starts, nearly always both; never none


def test_it_lifts_with_feetech_servos_and_keeps_every_limit(tmp_path: Path) -> None:
    process = start(tmp_path, "so101", "--episodes", "2", "--json", policy=POLICY)
    code, out, err = finish(process)
    assert code == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert summary["episodes"] == 2
    assert summary["successes"] >= LIFTED_OF_TWO
    assert summary["limit_violations"] == 0
    assert summary["buses"]["arm"]["misses"] < summary["ticks"] / 2
    log = read_log(tmp_path / "run.mcap")
    assert log.ticks["command"].shape[1] == 6
    moved = np.ptp(log.ticks["measured"], axis=0)
    assert (moved[:4] > 0.1).all()  # rad: the arm really went


def test_another_arms_task_is_refused_before_anything_starts(tmp_path: Path) -> None:
    process = start(tmp_path, "so101", "--task", "viperx-stack", policy=POLICY)
    code, out, err = finish(process)
    assert (code, out) == (2, "")
    assert "robot so101 has the joints shoulder_pan" in err.splitlines()[-1]
