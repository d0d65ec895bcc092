"""Says after a run which protocol on which transport kept the contract of joint buses."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

SUITES = ("test_every_protocol.py", "test_oatlink_bus.py", "test_real_hardware.py")
_RIG = re.compile(r"\[(.+ on .+)\]$")  # the id of a rig: protocol on transport
_OUTCOMES: defaultdict[str, Counter[str]] = defaultdict(Counter)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    rig = _RIG.search(report.nodeid)
    in_suite = any(f"contract/{suite}::" in report.nodeid for suite in SUITES)
    if rig and in_suite and (report.when == "call" or report.outcome != "passed"):
        _OUTCOMES[rig[1]][report.outcome] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _OUTCOMES:
        return
    terminalreporter.section("joint bus contract: protocol on transport")
    for rig, counts in _OUTCOMES.items():
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        terminalreporter.write_line(f"{rig:<45} {told}")
