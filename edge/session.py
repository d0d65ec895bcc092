"""One run's directory: what the processes of a run share, by file name.

session.json     this module's ``Session``: everything a process needs to know at its start
control          supervisor → servo   (Mailbox)  mode and heartbeat
request          servo → planner      (Mailbox)  observation and deadline
bell             servo → planner      (FIFO)     wakes the planner
chunk            planner → servo      (Mailbox)  the newest chunk
drive            supervisor → servo   (Mailbox)  velocities for the base
ticks, plans     servo, planner → recorder (Rings)
*.log, *.failure a process's warnings; the one line it died of
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from edge.robot import Robot


class Session(BaseModel):
    """Settings of one run, with every name resolved: no port or socket is ``emulated`` any more."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    directory: Path
    robot: Robot
    bundle: Path
    seed: int
    max_prefix: int | None = None

    def file(self, name: str) -> Path:
        """Path of one of the session's files."""
        return self.directory / name

    def as_json(self) -> str:
        """What was set, and no defaults: a bus refuses settings that are not its own."""
        return self.model_dump_json(indent=1, exclude_unset=True)

    def save(self) -> None:
        """Write ``session.json``."""
        self.file("session.json").write_text(self.as_json(), encoding="utf-8")

    @staticmethod
    def load(directory: str) -> Session:
        """The session that was saved in ``directory``."""
        text = (Path(directory) / "session.json").read_text(encoding="utf-8")
        return Session.model_validate_json(text)


class Bell:
    """A FIFO that wakes one process. Ringing never blocks; unheard rings pile into one."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if create:
            os.mkfifo(path, 0o600)
        self.descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def ring(self) -> None:
        """Wake the listener."""
        try:
            os.write(self.descriptor, b"\0")
        except BlockingIOError:
            return  # the FIFO is full of rings: the listener will wake anyway

    def silence(self) -> None:
        """Forget all rings so far."""
        try:
            while os.read(self.descriptor, 4096):
                pass
        except BlockingIOError:
            return
