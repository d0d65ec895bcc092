"""The whole way with a controller of our own in it: policy, oatlink, ARM code, servos, physics."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edge.log_reader import read_log
from firmware_bridge.emulation.controllers import QEMU
from firmware_bridge.oatlink.firmware import TARGETS
from tests.hil.robot_run import finish, start
from tests.needs import missing

pytestmark = pytest.mark.hil


def test_an_episode_with_firmware_in_the_loop_keeps_every_limit(tmp_path: Path) -> None:
    for tool in (QEMU, TARGETS["lm3s6965"][1]):
        if shutil.which(tool) is None:
            missing(tool)
    arguments = ("viperx", "--bus", "oatlink", "--controller", "qemu", "--episodes", "1", "--json")
    code, out, err = finish(start(tmp_path, *arguments, "--seed", "7"))
    assert code == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert summary["episodes"] == 1 and summary["limit_violations"] == 0
    log = read_log(tmp_path / "run.mcap")
    assert log.ticks["fresh"].mean() > 0.5
    assert {"full", "prefix"} & set(summary["ladder"])


def test_a_controller_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    code, _, err = finish(start(tmp_path, "viperx", "--bus", "oatlink", "--controller", "abacus"))
    assert code == 2
    assert "buses.arm.controller is 'abacus'" in err
