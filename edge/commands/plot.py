"""``oat-edge plot``: the figure of a logged run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def plot(
    log: Annotated[Path, typer.Argument(help="An MCAP log that run wrote.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where the figure goes: .png, .pdf or .svg.")
    ] = Path("run.png"),
    episode: Annotated[
        int | None, typer.Option(min=1, help="Only this episode, while the policy drives.")
    ] = None,
) -> None:
    """Draw a run: commands and measured positions, rungs, prefix lengths and stage times."""
    from edge.errors import RunError, UsageError
    from edge.log_reader import read_log

    try:
        from edge.commands.plots.run_data import run_data
        from edge.commands.plots.run_figure import save_run_figure
    except ImportError as error:
        raise RunError(f"plot: {error.name} is missing; install oat-edge[plot]") from error
    recorded = read_log(log)
    if recorded.damage:
        print(f"oat-edge: warning: log {log}: {recorded.damage}", file=sys.stderr)
    try:
        data = run_data(recorded, episode)
    except RunError as error:
        raise RunError(f"log {log}: {error}") from error
    except ValueError as error:  # NumPy's for a field that is not there
        raise RunError(f"log {log}: written by another version: {error}") from error
    try:
        save_run_figure(data, _title(recorded.session, log, episode), out)
    except OSError as error:
        raise RunError(f"--out {out}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"--out {out}: {error}") from error
    print(out)


def _title(session: dict[str, object], log: Path, episode: int | None) -> str:
    robot = session.get("robot")
    name = robot.get("name", "robot") if isinstance(robot, dict) else "robot"
    which = f" · episode {episode}" if episode is not None else ""
    return f"{name} · {log.stem} · seed {session.get('seed', '-')}{which}"
