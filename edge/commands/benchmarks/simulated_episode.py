"""One episode of the whole runtime in simulated time: pilot, planner, mailboxes, arm and cube.

Everything but the processes is the runtime's own: sensing, requests, planner, seam, ladder and
safety filter at the servo's rate. Only the hardware is simulated, and time: an episode takes as
long as its computing does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.bundle import Bundle
from edge.commands.benchmarks.simulated_arm import SimulatedArm, SimulatedTracker
from edge.commands.benchmarks.simulated_planner import (
    DelayedMailbox,
    DeviceClock,
    FixedPlanner,
    SimulatedPlanner,
    TaillessPlanner,
)
from edge.commands.launch import resolve_ports
from edge.commands.session_directory import session_directory
from edge.engaging import AtOnce
from edge.engines import Engine
from edge.ladder import Mode, Rung
from edge.latency import LatencyModel, Profile
from edge.operator import Operator
from edge.pilot import Pilot
from edge.planner import Planner
from edge.rates import NS_PER_S, NS_PER_US, SUCCESS_HZ, period_ns
from edge.reading import JointReader
from edge.records import CONTROL, Channels, tick_dtype
from edge.requests import PlanRequests
from edge.robot import Robot
from edge.sensing import Sensing
from edge.servo_process import open_trackers
from edge.session import Bell, Session

START_NS = NS_PER_S
PLANNERS: dict[str, type[Planner]] = {
    "anytime": Planner,
    "fixed": FixedPlanner,
    "fixed-no-tail": TaillessPlanner,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One episode: whether and when it succeeded; of every plan its prefix, lateness and duration;
    and how long the arm stood still or slowed down after its first motion."""

    success: bool
    seconds: float
    prefixes: tuple[int, ...]
    late: tuple[bool, ...]
    plan_us: tuple[float, ...]
    stopped_s: float


@dataclass(frozen=True, slots=True)
class Device:
    """What plans: an engine on a bundle, the clock of a device, and its profile there."""

    loaded: Bundle
    engine: Engine
    clock: DeviceClock
    profile: Profile


def run_episode(robot: Robot, device: Device, task: Any, policy: str, seed: int) -> Outcome:
    """One episode of a policy of PLANNERS; ends with success or the task's last step."""
    with session_directory() as directory:
        stage = Stage(resolve_ports(robot, directory), directory, device, task, policy, seed)
        try:
            return stage.run()
        finally:
            stage.close()


class Stage:
    """The parts of one episode, joined by a session's channels in an empty directory."""

    def __init__(
        self, robot: Robot, directory: Path, device: Device, task: Any, policy: str, seed: int
    ) -> None:
        manifest = device.loaded.manifest
        session = Session(directory=directory, robot=robot, bundle=device.loaded.path, seed=seed)
        self._task = task
        self._plant = task.make_plant()
        self._plant.reset(task.evaluation_rng(seed))
        self._channels = Channels.open(session, manifest, create=True)
        self._trackers = open_trackers(robot, manifest)
        socket_path = Path(robot.trackers[self._trackers[0].key].socket)
        self._tracker = SimulatedTracker(self._plant, socket_path, START_NS)
        self._arm = SimulatedArm(self._plant, START_NS)
        self._sensing = Sensing(robot, manifest, JointReader(self._arm), self._trackers)
        self._pilot = self._make_pilot(session, device)
        self._tick_ns = period_ns(robot.servo.rate_hz)
        self._planner = self._make_planner(session, device, policy)
        self._tick = np.zeros((), tick_dtype(len(robot.joints)))
        self._control = np.zeros((), CONTROL)
        self._control["mode"] = Mode.POLICY

    def close(self) -> None:
        """Close the sockets."""
        self._tracker.close()
        for tracker in self._trackers:
            tracker.close()

    def run(self) -> Outcome:
        """Tick by tick to success or to the end."""
        judge, success = self._task.make_success(), False
        every = round(period_ns(SUCCESS_HZ) / self._tick_ns)
        ticks = self._task.max_steps * every
        moved, stopped = False, 0
        for tick in range(ticks):
            rung = self._run_tick(START_NS + tick * self._tick_ns)
            moved = moved or rung <= Rung.TAIL
            stopped += moved and rung > Rung.TAIL
            if tick % every == every - 1 and judge.update(self._plant):
                success = True
                break
        plans = self._channels.plans.drain()
        return Outcome(
            success=success,
            seconds=(tick + 1) * self._tick_ns / NS_PER_S,
            prefixes=tuple(int(plan["prefix"]) for plan in plans),
            late=tuple(bool(plan["late"]) for plan in plans),
            plan_us=tuple(
                float(plan["published_ns"] - plan["started_ns"]) / NS_PER_US for plan in plans
            ),
            stopped_s=stopped * self._tick_ns / NS_PER_S,
        )

    def _run_tick(self, now_ns: int) -> Rung:
        """What happened up to now, then the servo's tick, then what the planner does in it."""
        self._arm.advance(now_ns)
        self._tracker.advance(now_ns)
        self._planner.deliver(now_ns)
        self._control["heartbeat_ns"] = now_ns
        self._channels.control.post(self._control)
        setpoint = self._pilot.decide(self._sensing.read(), now_ns)
        self._pilot.ask_for_plan(now_ns)
        if setpoint is not None:
            self._arm.write_setpoints(setpoint)
        self._planner.work(now_ns)
        self._pilot.describe(self._tick, now_ns)
        return Rung(int(self._tick["rung"]))

    def _make_pilot(self, session: Session, device: Device) -> Pilot:
        robot, manifest = session.robot, device.loaded.manifest
        servo = Channels.open(session, manifest)
        bell = Bell(session.file("bell"), create=True)
        requests = PlanRequests(robot, manifest, servo.request, servo.chunk, bell)
        operator = Operator(servo.control, START_NS)
        joints = AtOnce(self._arm.enable)
        return Pilot(robot, manifest, operator, self._sensing, requests, joints)

    def _make_planner(self, session: Session, device: Device, policy: str) -> SimulatedPlanner:
        manifest, clock = device.loaded.manifest, device.clock
        chunks = DelayedMailbox(session.file("chunk"), self._channels.chunk, clock)
        channels = replace(self._channels, chunk=chunks)
        model = LatencyModel(device.profile)
        planner = PLANNERS[policy](device.engine, manifest, channels, model, None, clock)
        if isinstance(planner, TaillessPlanner):
            step_ns = period_ns(manifest.action.rate_hz)
            budget_ns = session.robot.planner.budget_us * NS_PER_US
            planner.keep = manifest.action.execution_horizon + -(-budget_ns // step_ns)
        return SimulatedPlanner(planner, channels, chunks, clock, self._tick_ns)
