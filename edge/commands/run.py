"""``oat-edge run``: a robot, its policy, and as many episodes as asked for."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_EPISODE_S = 8.0


def run(
    robot: Annotated[str, typer.Argument(help="A built-in robot, or the path of a robot.yaml.")],
    episodes: Annotated[int, typer.Option(min=1, max=100_000)] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the cube's poses.")] = 0,
    seconds: Annotated[float, typer.Option(min=0.1, help="Longest episode.")] = DEFAULT_EPISODE_S,
    budget_us: Annotated[
        int | None, typer.Option(help="Time from an observation to its chunk.")
    ] = None,
    bundle: Annotated[str | None, typer.Option(help="A shipped bundle, or a directory.")] = None,
    precision: Annotated[str | None, typer.Option(help="Which of the bundle's precisions.")] = None,
    max_prefix: Annotated[int | None, typer.Option(min=1, help="Never more tokens.")] = None,
    port: Annotated[list[str] | None, typer.Option(help="BUS=DEVICE, replaces a port.")] = None,
    engage: Annotated[bool, typer.Option(help="Let a real arm move.")] = False,
    log: Annotated[Path | None, typer.Option(help="The MCAP log to write.")] = None,
    status_file: Annotated[Path | None, typer.Option(help="A JSON file kept current.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Run a policy on a robot, simulated or real, and report how it went."""
    overrides = {"budget_us": budget_us, "precision": precision}
    loaded = _robot(robot, port or [], {k: v for k, v in overrides.items() if v is not None})
    summary = execute(
        loaded,
        bundle or loaded.bundle,
        episodes=episodes,
        seed=seed,
        seconds=seconds,
        max_prefix=max_prefix,
        engage=engage,
        log=log,
        status_file=status_file,
        show=not as_json and sys.stdout.isatty(),
    )
    if as_json:
        print(json.dumps(summary))
    else:
        from edge.commands.view import print_summary

        print_summary(summary)


def execute(
    robot: Any,
    bundle_name: str,
    *,
    episodes: int,
    seed: int,
    seconds: float,
    max_prefix: int | None,
    engage: bool,
    log: Path | None,
    status_file: Path | None,
    show: bool,
) -> dict[str, Any]:
    """Run and return the summary. Raises OatEdgeError; whatever was started has ended by then."""
    from edge import bundle
    from edge.commands.bundles import find_bundle
    from edge.commands.episodes import EpisodeRun, Watcher
    from edge.commands.status_file import StatusFile
    from edge.commands.view import LiveView, StatusWatcher
    from edge.errors import UsageError
    from edge.fit import check_fit
    from edge.recorder import Recorder
    from edge.records import Channels
    from edge.session import Bell, Session
    from edge.supervisor import Supervisor

    path = find_bundle(bundle_name)
    loaded = bundle.load(path)
    check_fit(robot, loaded.manifest, path)
    if robot.planner.precision not in loaded.manifest.graphs:
        have = ", ".join(sorted(loaded.manifest.graphs))
        raise UsageError(f"precision is {robot.planner.precision!r}, bundle {path} has {have}")
    if not robot.emulated and not engage:
        raise UsageError(f"robot {robot.name} has real ports: say --engage to let the arm move")
    log = log or Path("runs") / time.strftime(f"{robot.name}-%Y%m%d-%H%M%S.mcap")
    watchers: list[Watcher] = []
    if status_file is not None:
        watchers.append(StatusWatcher(StatusFile(status_file)))

    with ExitStack() as stack:
        directory = stack.enter_context(session_directory())
        resolved = resolve_ports(robot, directory)
        session = Session(
            directory=directory, robot=resolved, bundle=path, seed=seed, max_prefix=max_prefix
        )
        session.save()
        channels = Channels.open(session, loaded.manifest, create=True)
        Bell(session.file("bell"), create=True)
        place, truth = _plant_records(session) if robot.emulated else (None, None)
        supervisor = Supervisor(session, channels.control, robot.emulated)
        tokens = loaded.manifest.tokenizer.tokens
        recorder = stack.enter_context(Recorder(log, session, tokens))
        if show:
            watchers.append(stack.enter_context(LiveView(resolved, tokens)))
        stack.enter_context(_interruptible())
        episode_run = EpisodeRun(session, supervisor, channels, recorder, watchers, place, truth)
        try:
            supervisor.start()
            _warn(supervisor)
            episode_run.run(episodes, seconds)
        finally:
            supervisor.stop()
            episode_run.drain()
    return episode_run.report.summary() | {"seed": seed, "log": str(log)}


def resolve_ports(robot: Any, directory: Path) -> Any:
    """The robot with a tty and a socket of this run's in place of every emulated one."""
    from edge.robot import EMULATED

    def resolved(value: str, file: str) -> str:
        return str(directory / file) if value == EMULATED else value

    buses = {
        name: bus.model_copy(update={"port": resolved(bus.port, f"{name}.tty")})
        for name, bus in robot.buses.items()
    }
    trackers = {
        key: tracker.model_copy(update={"socket": resolved(tracker.socket, f"{key}.socket")})
        for key, tracker in robot.trackers.items()
    }
    return robot.model_copy(update={"buses": buses, "trackers": trackers})


@contextmanager
def session_directory() -> Iterator[Path]:
    """A new directory for a run's files, in memory where the system has such a place."""
    memory = Path("/dev/shm")
    base = str(memory) if memory.is_dir() else None
    directory = Path(tempfile.mkdtemp(prefix="oat-edge-", dir=base))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Make a request to terminate unwind like an interrupt, so that the arm stops well."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _robot(name: str, ports: list[str], planner: dict[str, Any]) -> Any:
    from edge.errors import UsageError
    from edge.robot import load_robot, parse_robot

    pairs = {}
    for port in ports:
        bus, separator, device = port.partition("=")
        if not separator or not device:
            raise UsageError(f"--port is {port!r}, allowed is BUS=DEVICE")
        pairs[bus] = device
    robot = load_robot(name, pairs)
    data = robot.model_dump(exclude_unset=True)
    data["planner"] = data.get("planner", {}) | planner
    return parse_robot(data, f"robot {name}")


def _plant_records(session: Any) -> tuple[Any, Any]:
    from edge.commands.plant_records import PLACE, TRUTH
    from edge.shared_memory import Mailbox

    return (
        Mailbox(session.file("place"), PLACE, create=True),
        Mailbox(session.file("truth"), TRUTH, create=True),
    )


def _warn(supervisor: Any) -> None:
    for child in supervisor.children:
        for warning in child.warnings:
            print(f"oat-edge: {child.name}: {warning}", file=sys.stderr)
