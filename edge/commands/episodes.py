"""Episodes: home the arm, lay the cube, let the policy work, see whether it succeeded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from edge.commands.arming import Arming, DisarmedError
from edge.commands.base_drive import BaseDriver
from edge.errors import RunError
from edge.ladder import NO_CHUNK, NOT_ENGAGED, Mode, Rung
from edge.rates import NS_PER_S, SUPERVISOR_HZ, period_ns
from edge.realtime import sleep_until
from edge.recorder import Recorder
from edge.records import Channels, reason_of
from edge.report import Report
from edge.session import Session
from edge.shared_memory import Mailbox, Record
from edge.supervisor import Supervisor

READY_TIMEOUT_S = 5.0  # from the servo's start to an observation that can be planned from
HOME_TIMEOUT_S = 15.0
DRIVE_TIMEOUT_S = 30.0
STUCK_S = 3.0  # held by a stop for so long: the run has failed
HUNG_S = 1.0  # held for so long by a planner that runs: it hangs
STANDSTILL = (Rung.HOLD, Rung.DISENGAGED)
SETTLE_S = 0.3  # the cube comes to rest after it was laid


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a watcher sees: the run's figures so far and the newest tick."""

    episode: int
    episodes: int
    outcomes: tuple[bool | None, ...]
    report: Report
    tick: Record | None
    pids: dict[str, int | None]
    events: tuple[str, ...]


class Watcher(Protocol):
    """Shows a run while it goes on."""

    def update(self, snapshot: Snapshot) -> None:
        """Take in the newest state; called at the supervisor's rate."""


class EpisodeRun:
    """One run of several episodes on started processes; records everything as it goes.

    ``place`` and ``truth`` are the plant's records, or None on a real robot: there the cube is laid
    by a person and nobody counts successes. ``arming`` is for a person, too: joints that stopped by
    themselves are waited for ``arm_within_s``. ``base`` drives a robot that has one to its work,
    and away from it before the cube is laid.
    """

    def __init__(
        self,
        session: Session,
        supervisor: Supervisor,
        channels: Channels,
        recorder: Recorder,
        watchers: list[Watcher],
        place: Mailbox | None,
        truth: Mailbox | None,
        arm_within_s: float = 0.0,
        base: BaseDriver | None = None,
    ) -> None:
        self.report = Report(session.robot)
        self._supervisor = supervisor
        self._channels = channels
        self._recorder = recorder
        self._watchers = watchers
        self._place = place
        self._truth = truth
        self._tick: Record | None = None
        self._outcomes: list[bool | None] = []
        self._events: list[str] = []
        self._episodes = 0
        self.arming = Arming(supervisor, self._turn, self._event, arm_within_s)
        self._base = base
        self._moving_ns = 0
        self._next_ns = time.monotonic_ns()

    def run(self, episodes: int, seconds: float) -> None:
        """Run them all, each at most so long. Raises RunError where the robot cannot go on."""
        self._episodes = episodes
        self._wait(_may_engage, READY_TIMEOUT_S, "not ready")
        for episode in range(1, episodes + 1):
            succeeded = self._guarded(episode, partial(self._try, episode, seconds))
            self._outcomes.append(succeeded)
            self.report.episodes += 1
            self.report.successes += bool(succeeded)
            self._event("episode", "success" if succeeded else "no success")
        self._guarded(episodes, partial(self._go_home, episodes))

    def _try(self, episode: int, seconds: float) -> bool | None:
        self._go_home(episode)
        if self._base is not None:
            self._base.begin_retreat()
            self._drive(episode, self._base.retreat, "did not come away from its dock")
        self._lay_cube(episode)
        if self._base is not None:
            self._drive(episode, self._base.approach, "did not reach its dock")
            self._event("docked", self._base.describe())
        self._supervisor.command(Mode.POLICY, episode)
        return self._until_success(episode, seconds)

    def _guarded(self, episode: int, action: Callable[[], bool | None]) -> bool | None:
        """What ``action`` returns; False where the joints stopped, once they are engaged again."""
        try:
            return action()
        except DisarmedError:
            self.arming.wait(episode)
            return False

    def drain(self) -> None:
        """Take in everything published so far."""
        ticks, plans = self._channels.ticks.drain(), self._channels.plans.drain()
        self.report.add_ticks(ticks)
        self.report.add_plans(plans)
        self._recorder.ticks(ticks)
        self._recorder.plans(plans)
        if len(ticks):
            self._tick = ticks[-1]

    def _pump(self) -> None:
        """One turn of the supervisor's loop."""
        self._next_ns = max(self._next_ns + period_ns(SUPERVISOR_HZ), time.monotonic_ns())
        sleep_until(self._next_ns)
        happened = self._supervisor.look_after(time.monotonic_ns())
        if happened:
            self.report.planner_restarts += 1
            self._event("planner", happened)
        self.drain()
        snapshot = Snapshot(
            episode=len(self._outcomes) + 1,
            episodes=self._episodes,
            outcomes=tuple(self._outcomes),
            report=self.report,
            tick=self._tick,
            pids=self._supervisor.pids,
            events=tuple(self._events[-3:]),
        )
        for watcher in self._watchers:
            watcher.update(snapshot)

    def _turn(self) -> Record:
        self._pump()
        assert self._tick is not None
        return self._tick

    def _go_home(self, episode: int) -> None:
        self._supervisor.command(Mode.HOME, episode)
        self._moving_ns = time.monotonic_ns()
        self._wait(_is_home, HOME_TIMEOUT_S, "did not reach the start posture")

    def _drive(self, episode: int, says_done: Callable[[], bool], complaint: str) -> None:
        """Drive the base word by word until it is where it shall be, and let it come to rest."""
        self._supervisor.command(Mode.DRIVE, episode)
        self._moving_ns = time.monotonic_ns()
        give_up_ns = self._moving_ns + round(DRIVE_TIMEOUT_S * NS_PER_S)
        while not says_done():
            self._pump()
            self._check_progress(time.monotonic_ns())
            if time.monotonic_ns() > give_up_ns:
                raise RunError(f"{complaint}: {self._reason()}")
        self._supervisor.command(Mode.IDLE, episode)
        self._wait(_is_at_rest, HOME_TIMEOUT_S, "did not come to rest")

    def _wait(self, done: Any, seconds: float, complaint: str) -> None:
        give_up_ns = time.monotonic_ns() + round(seconds * NS_PER_S)
        while True:
            self._pump()
            if self._tick is not None and done(self._tick):
                return
            if self._moving_ns:  # it was told to move
                self._check_progress(time.monotonic_ns())
            if time.monotonic_ns() > give_up_ns:
                raise RunError(f"{complaint}: {self._reason()}")

    def _lay_cube(self, episode: int) -> None:
        if self._place is None:
            return
        record = np.zeros((), self._place.dtype)
        record["episode"] = episode
        self._place.post(record)
        settled_ns = time.monotonic_ns() + round(SETTLE_S * NS_PER_S)
        while time.monotonic_ns() < settled_ns:
            self._pump()

    def _until_success(self, episode: int, seconds: float) -> bool | None:
        """Whether the referee saw a success in time; None where there is no referee."""
        end_ns = time.monotonic_ns() + round(seconds * NS_PER_S)
        self._moving_ns = time.monotonic_ns()
        while time.monotonic_ns() < end_ns:
            self._pump()
            truth = self._truth.latest() if self._truth is not None else None
            if truth is not None and int(truth["episode"]) == episode and truth["succeeded"]:
                return True
            self._check_progress(time.monotonic_ns())
        return False if self._truth is not None else None

    def _check_progress(self, now_ns: int) -> None:
        """A planner that hangs is ended, to be started anew; a stopped robot ends the run.

        Raises DisarmedError where joints have stopped by themselves.
        """
        if self._tick is not None and self._tick["disarmed"]:
            raise DisarmedError
        if self._tick is not None and int(self._tick["rung"]) not in STANDSTILL:
            self._moving_ns = now_ns
        waits = self._reason() == NO_CHUNK
        if waits and not self._supervisor.planner.ready:
            self._moving_ns = now_ns  # it is starting: only one that is ready can hang
        held_s = (now_ns - self._moving_ns) / NS_PER_S
        if waits:
            if held_s > HUNG_S:
                self._event("planner", f"ended: no chunk for {HUNG_S:g} s")
                self._supervisor.planner.kill()
                self._moving_ns = now_ns
        elif held_s > STUCK_S:
            raise RunError(f"held for {STUCK_S:g} s: {self._reason()}")

    def _reason(self) -> str:
        return "no tick yet" if self._tick is None else reason_of(self._tick)

    def _event(self, event: str, reason: str) -> None:
        self._events.append(f"{event}: {reason}")
        self._recorder.event(event, reason, time.monotonic_ns())


def _may_engage(tick: Record) -> bool:
    return reason_of(tick) == NOT_ENGAGED


def _is_at_rest(tick: Record) -> bool:
    return int(tick["rung"]) == Rung.HOLD


def _is_home(tick: Record) -> bool:
    return bool(tick["at_home"]) and int(tick["rung"]) == Rung.HOLD
