"""Outcomes of episodes in a file, so that an evaluation that was cut off goes on where it was.

One JSON object a line: who was evaluated on which start, with its seed, and what it came to. A last
line that was cut off is dropped; the file is synced after every line.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from models.evaluation import Job, Outcome, Setup

_WHO = ("task", "policy", "weights", "execute")
_WHICH = ("k", "seed", "episode")
_WHAT = ("success", "plans", "tokens", "undecodable")


class OutcomeLog:
    """Outcomes that are known, and a file to which new ones are added; a context manager.

    Raises ValueError, naming the line, for a file of another kind.
    """

    def __init__(self, path: Path) -> None:
        self._known: dict[tuple[Any, ...], Outcome] = {}
        whole = _read(path, self._known)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        self._file.truncate(whole)

    def find(self, setup: Setup, job: Job) -> Outcome | None:
        """What this episode came to, if it was run before with the same weights."""
        return self._known.get(_key(_who(setup) | asdict(job)))

    def add(self, setup: Setup, job: Job, outcome: Outcome) -> None:
        """Note an episode's outcome."""
        row = _who(setup) | asdict(job) | asdict(outcome)
        self._known[_key(row)] = outcome
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> OutcomeLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def _who(setup: Setup) -> dict[str, Any]:
    return {name: getattr(setup, name) for name in _WHO}


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in (*_WHO, *_WHICH))


def _read(path: Path, known: dict[tuple[Any, ...], Outcome]) -> int:
    """Fills ``known``; how many bytes of the file are whole lines."""
    if not path.exists():
        return 0
    lines = path.read_bytes().splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            known[_key(row)] = Outcome(**{name: row[name] for name in _WHAT})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: line {number} is no outcome of an episode") from error
    return sum(map(len, lines))
