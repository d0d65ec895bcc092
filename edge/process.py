"""Entry of the processes of a run: ``python -m edge.process NAME SESSION_DIRECTORY``.

A process that fails leaves its one line of reason in ``NAME.failure`` and ends with exit code 1.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from edge.errors import OatEdgeError
from edge.realtime import configure
from edge.robot import RealTime
from edge.session import Session
from firmware_bridge.errors import BridgeError

Body = Callable[[Session], None]

_PARENT = os.getppid()  # the supervisor; another one adopts those it leaves behind

# What each process imports stays out of the others: the servo knows no inference, nobody but the
# plant knows a simulator.
BODIES = {
    "servo": "edge.servo_process",
    "planner": "edge.planner_process",
    "plant": "edge.commands.plant_process",
}


def main(name: str, directory: str) -> int:
    """Run the named process to its end; returns its exit code."""
    session = Session.load(directory)
    try:
        importlib.import_module(BODIES[name]).run(session)
    except (OatEdgeError, BridgeError) as error:
        return _failed(session, name, str(error))
    except KeyboardInterrupt:
        return 0  # the terminal interrupts the whole group; the supervisor stops us in order
    except Exception as error:  # the top of a process: whatever it was, the supervisor must know
        _failed(session, name, f"{type(error).__name__}: {error}")
        raise
    return 0


def make_real_time(session: Session, name: str, settings: RealTime) -> None:
    """Real-time set-up of this process; what the kernel refuses goes to its warnings file."""
    warnings = configure(settings)
    session.file(f"{name}.warnings").write_text("\n".join(warnings), encoding="utf-8")


def is_orphaned(session: Session) -> bool:
    """Whether the run is over: its directory is gone, or the supervisor that started us is."""
    return os.getppid() != _PARENT or not session.directory.exists()


def ready(session: Session, name: str) -> None:
    """Tell the supervisor that this process does its work from now on."""
    session.file(f"{name}.ready").touch()


def busy(session: Session, name: str) -> None:
    """Tell the supervisor that this process is not ready yet, and at work."""
    session.file(f"{name}.busy").touch()


def _failed(session: Session, name: str, line: str) -> int:
    temporary = Path(f"{session.file(name)}.failing")
    temporary.write_text(line, encoding="utf-8")
    temporary.rename(session.file(f"{name}.failure"))
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
