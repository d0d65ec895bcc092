"""The whole check-up: every area in its order."""

from __future__ import annotations

from edge.doctor import buses, kernel, limits, power, software
from edge.doctor.finding import Finding, Status
from edge.system_files import SystemFiles

AREAS = (kernel.examine, limits.examine, power.examine, buses.examine, software.examine)


def examine(files: SystemFiles) -> list[Finding]:
    """Everything that can be read; the measured part stands in ``edge.doctor.wake_up``."""
    return [finding for area in AREAS for finding in area(files)]


def healthy(findings: list[Finding]) -> bool:
    """Whether nothing has failed; warnings are advice."""
    return all(finding.status is not Status.FAIL for finding in findings)
