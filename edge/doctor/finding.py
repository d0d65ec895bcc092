"""One finding of the doctor."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Status(str, Enum):
    """How bad it is. ``ABSENT``: this machine has no such thing, which is no fault."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and how to mend it: a command, or a line for a file.

    ``fix`` is empty where nothing is to be mended.
    """

    area: str
    name: str
    status: Status
    value: str
    fix: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"status": self.status.value}


def judged(area: str, name: str, good: bool, value: str, fix: str) -> Finding:
    """Ok, or a warning with its fix."""
    return Finding(area, name, Status.OK if good else Status.WARN, value, "" if good else fix)


def absent(area: str, name: str, why: str) -> Finding:
    """Nothing there to judge."""
    return Finding(area, name, Status.ABSENT, why)
