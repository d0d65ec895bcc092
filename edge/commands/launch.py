"""From a robot and a bundle to a finished run: everything is checked, started, run and ended."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.bundle import Manifest
from edge.commands.base_drive import BaseDriver
from edge.commands.bundles import find_bundle
from edge.commands.episodes import EpisodeRun, Watcher
from edge.commands.plant_lines import check_emulation
from edge.commands.plant_records import PLACE, TRUTH
from edge.commands.session_directory import session_directory
from edge.commands.status_file import StatusFile
from edge.commands.view import LiveView, StatusWatcher
from edge.cores import assign_cores
from edge.errors import UsageError
from edge.fit import check_fit
from edge.recorder import Recorder
from edge.records import Channels
from edge.robot import Robot
from edge.robot_buses import EMULATED, Bus
from edge.session import Bell, Session
from edge.shared_memory import Mailbox
from edge.signature import load_admitted
from edge.supervisor import Supervisor
from edge.wire_times import check_wire
from models.tasks import TASK_NAMES


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run; ``seconds`` bounds an episode, ``engage`` lets a real arm move.

    ``arm_within_s``: how long to wait for a person to arm joints that stopped by themselves.
    """

    episodes: int
    seconds: float
    seed: int = 0
    max_prefix: int | None = None
    engage: bool = False
    arm_within_s: float = 0.0
    log: Path | None = None
    status_file: Path | None = None
    show: bool = False


def launch(robot: Robot, bundle_name: str, options: RunOptions) -> dict[str, Any]:
    """Run and return the summary, of the part before an interruption too.

    Raises OatEdgeError; whatever was started has ended by then.
    """
    path = find_bundle(bundle_name)
    manifest = load_admitted(path, robot.bundle_policy).manifest
    check_fit(robot, manifest, path)
    check_wire(robot)
    _check_options(robot, manifest, options)
    if not robot.emulated and not options.engage:
        raise UsageError(f"robot {robot.name} has real ports: say --engage to let the arm move")
    log = options.log or Path("runs") / time.strftime(f"{robot.name}-%Y%m%d-%H%M%S.mcap")
    status = [StatusWatcher(StatusFile(options.status_file))] if options.status_file else []
    with ExitStack() as stack:
        session = _create_session(stack.enter_context(session_directory()), robot, path, options)
        channels = Channels.open(session, manifest, create=True)
        Bell(session.file("bell"), create=True)
        recorder = stack.enter_context(Recorder(log, session, manifest.tokenizer.tokens))
        watchers = [*status, *_live_view(stack, session, manifest, options.show)]
        place, truth = plant_records(session, robot.emulated)
        supervisor = Supervisor(session, channels.control, robot.emulated)
        stack.enter_context(_interruptible())
        run = EpisodeRun(
            session,
            supervisor,
            channels,
            recorder,
            watchers,
            place,
            truth,
            options.arm_within_s,
            _base_driver(stack, session, channels),
        )
        stack.enter_context(_armed_by_signal(run))
        interrupted = _run(supervisor, run, options)
    facts = {
        "bundle": manifest.name,
        "precision": robot.planner.precision,
        "interrupted": interrupted,
        "seed": options.seed,
        "log": str(log),
    }
    return run.report.summary() | facts


def _run(supervisor: Supervisor, run: EpisodeRun, options: RunOptions) -> bool:
    """Start, run and end everything; whether somebody interrupted it."""
    try:
        supervisor.start()
        _warn(supervisor)
        try:
            run.run(options.episodes, options.seconds)
        finally:
            supervisor.stop()
            run.drain()
    except KeyboardInterrupt:
        return True
    finally:
        supervisor.stop()
    return False


def _base_driver(stack: ExitStack, session: Session, channels: Channels) -> BaseDriver | None:
    base = session.robot.base
    if base is None:
        return None
    driver = BaseDriver(session.robot, base, channels.drive, session.seed)
    stack.callback(driver.close)
    return driver


def _check_options(robot: Robot, manifest: Manifest, options: RunOptions) -> None:
    """Refuse what cannot be run. Raises UsageError naming the value and what is allowed."""
    tokens = manifest.tokenizer.tokens
    if options.max_prefix is not None and options.max_prefix > tokens:
        raise UsageError(f"--max-prefix is {options.max_prefix}, allowed is 1 to {tokens}")
    if robot.emulated and robot.plant not in TASK_NAMES:
        have = ", ".join(TASK_NAMES)
        raise UsageError(f"robot {robot.name}: plant is {robot.plant!r}, allowed are {have}")
    if robot.emulated:
        check_emulation(robot)
    if robot.emulated and manifest.task in TASK_NAMES and manifest.task != robot.plant:
        raise UsageError(
            f"--task is {robot.plant!r}, allowed with this bundle is {manifest.task!r}"
        )


def resolve_ports(robot: Robot, directory: Path) -> Robot:
    """The robot with a port and a socket of this run's in place of every emulated one."""

    def resolved(value: str, file: str) -> str:
        return str(directory / file) if value == EMULATED else value

    def address(name: str, bus: Bus) -> str:
        if bus.is_can and bus.port == EMULATED:
            return f"oatcan:{directory.name}-{name}"
        return resolved(bus.port, f"{name}.tty")

    buses = {
        name: bus.model_copy(update={"port": address(name, bus)})
        for name, bus in robot.buses.items()
    }
    trackers = {
        key: tracker.model_copy(update={"socket": resolved(tracker.socket, f"{key}.socket")})
        for key, tracker in robot.trackers.items()
    }
    return robot.model_copy(update={"buses": buses, "trackers": trackers})


def _create_session(directory: Path, robot: Robot, path: Path, options: RunOptions) -> Session:
    session = Session(
        directory=directory,
        robot=assign_cores(resolve_ports(robot, directory)),
        bundle=path,
        seed=options.seed,
        max_prefix=options.max_prefix,
    )
    session.save()
    return session


def _live_view(stack: ExitStack, session: Session, manifest: Manifest, show: bool) -> list[Watcher]:
    if not show:
        return []
    return [stack.enter_context(LiveView(session.robot, manifest.tokenizer.tokens))]


def plant_records(session: Session, emulated: bool) -> tuple[Mailbox | None, Mailbox | None]:
    """What the run says to its simulated plant, and hears from it."""
    if not emulated:
        return None, None
    return (
        Mailbox(session.file("place"), PLACE, create=True),
        Mailbox(session.file("truth"), TRUTH, create=True),
    )


@contextmanager
def _interruptible() -> Iterator[None]:
    """Make a request to terminate unwind like an interrupt, so that the arm stops well."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    asked_to_end = (signal.SIGTERM, signal.SIGHUP)
    previous = [signal.signal(number, interrupt) for number in asked_to_end]
    try:
        yield
    finally:
        for number, handler in zip(asked_to_end, previous, strict=True):
            signal.signal(number, handler)


@contextmanager
def _armed_by_signal(run: EpisodeRun) -> Iterator[None]:
    """SIGUSR1: a person asks to arm the robot."""
    previous = signal.signal(signal.SIGUSR1, lambda _signal, _frame: run.arming.ask())
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, previous)


def _warn(supervisor: Supervisor) -> None:
    for child in supervisor.children:
        for warning in child.warnings:
            print(f"oat-edge: {child.name}: {warning}", file=sys.stderr)
