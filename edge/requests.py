"""Requests for plans: when the next chunk is due, when it is overdue, and which answers count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.bundle import Manifest
from edge.chunks import Chunk
from edge.rates import NS_PER_MS, NS_PER_US, period_ns
from edge.records import request_dtype
from edge.robot import Robot
from edge.safety import Stop
from edge.sensing import Sensing
from edge.session import Bell
from edge.shared_memory import Mailbox, Record
from firmware_bridge.messages import Float64Array

NOTICE_NS = 40 * NS_PER_MS  # notice of a first request: enough for a rehearsal


@dataclass(frozen=True, slots=True)
class Start:
    """Where and when an open plan starts: the command, shape (joints,), at its observation."""

    observed_ns: int
    command_rad: Float64Array


class PlanRequests:
    """Asks the planner for chunks and turns its answers into motions.

    One plan is asked for at a time; one that stays unanswered is asked for anew, from a newer
    observation, a policy step after its deadline.
    """

    def __init__(
        self, robot: Robot, manifest: Manifest, requests: Mailbox, chunks: Mailbox, bell: Bell
    ) -> None:
        self._requests = requests
        self._chunks = chunks
        self._bell = bell
        self._record = np.zeros((), request_dtype(manifest))
        self._budget_ns = robot.planner.budget_us * NS_PER_US
        self._step_ns = period_ns(manifest.action.rate_hz)
        self._execution_ns = manifest.action.execution_horizon * self._step_ns
        self._tick_ns = period_ns(robot.servo.rate_hz)
        horizon_ns = manifest.action.action_horizon * self._step_ns
        self._open_plans = 1 + horizon_ns // (self._budget_ns + self._step_ns)
        self._plan = 0
        self._epoch = 0
        self._first_ns = 0
        self._deadline_ns = 0
        self._overdue_ns = 0  # deadline of the oldest plan that nothing has come for since
        self._waiting = False
        self._starts: dict[int, Start] = {}

    def void(self) -> None:
        """Motion stopped: no plan asked for before this moment may be followed."""
        self._epoch += 1
        self._waiting = False
        self._starts.clear()

    def begin(self, plan: int) -> None:
        """Motion begins with this plan: later ones, asked for at standstill, do not fit it."""
        self._starts = {plan: self._starts[plan]}
        self._waiting = False

    def announce(self, now_ns: int) -> None:
        """Tell the planner that the first request of a motion is about to come."""
        self._first_ns = now_ns + NOTICE_NS
        self.give_notice(self._first_ns)
        self._bell.ring()

    def announce_next(self, chunk: Chunk, now_ns: int) -> None:
        """Tell the planner at which tick, counted from this one, the next request will come.

        Not while one is open: the notice would take its place in the mailbox.
        """
        if self._waiting:
            return
        ticks = -((now_ns - self._due_ns(chunk)) // self._tick_ns)
        self.give_notice(now_ns + ticks * self._tick_ns)
        self._bell.ring()

    def give_notice(self, expected_ns: int) -> None:
        """Tell a planner that is looking out when the request is about to come."""
        self._record["plan"] = 0
        self._record["observed_ns"] = expected_ns
        self._requests.post(self._record)

    def overdue(self, now_ns: int) -> bool:
        """Whether a chunk that was asked for has missed its deadline; to ask anew mends nothing."""
        return self._waiting and now_ns > self._overdue_ns

    def due(self, chunk: Chunk | None, now_ns: int) -> bool:
        """Whether this tick is the nearest to the moment to ask, while ``chunk`` is followed."""
        if self._waiting:
            return now_ns >= self._deadline_ns + self._step_ns
        if chunk is None:
            return now_ns >= self._first_ns
        return now_ns >= self._due_ns(chunk)

    def _due_ns(self, chunk: Chunk) -> int:
        return chunk.begin_ns + self._execution_ns - self._tick_ns // 2

    def ask(self, sensing: Sensing, command_rad: Float64Array, now_ns: int) -> Stop | None:
        """Post this tick's observation with its deadline; a Stop if it cannot be planned from.

        ``command_rad``, shape (joints,), is where the planned motion starts.
        """
        stop = sensing.write_features(self._record["features"])
        if stop is not None:
            return stop
        self._plan += 1
        self._starts[self._plan] = Start(now_ns, command_rad.copy())
        self._starts.pop(self._plan - self._open_plans, None)  # its horizon is over
        self._deadline_ns = now_ns + self._budget_ns
        if not self._waiting:
            self._overdue_ns = self._deadline_ns
        self._waiting = True
        self._record["plan"] = self._plan
        self._record["epoch"] = self._epoch
        self._record["observed_ns"] = now_ns
        self._record["deadline_ns"] = self._deadline_ns
        self._requests.post(self._record)
        self._bell.ring()
        return None

    def answer(self, now_ns: int) -> Chunk | None:
        """A chunk that came since the last call, if it still counts and has actions ahead."""
        record = self._chunks.take()
        if record is None or int(record["epoch"]) != self._epoch:
            return None
        plan, observed_ns = int(record["plan"]), int(record["observed_ns"])
        if plan not in self._starts or self._starts[plan].observed_ns != observed_ns:
            return None
        chunk = self._motion(plan, record)
        if now_ns >= chunk.end_ns:
            return None
        self._starts = {key: start for key, start in self._starts.items() if key >= plan}
        self._waiting = self._waiting and plan != self._plan
        self._overdue_ns = self._deadline_ns
        return chunk

    def _motion(self, plan: int, record: Record) -> Chunk:
        actions = record["actions"][: int(record["valid"])].astype(np.float64)
        knots = np.vstack([self._starts[plan].command_rad, actions])
        return Chunk(plan, int(record["observed_ns"]), self._step_ns, int(record["prefix"]), knots)
