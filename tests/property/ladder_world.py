"""A pilot in a hostile world, tick by tick: all around it is random, all of it itself is real.

Pilot, operator, sensing, requests, seam, ladder and safety filter are the runtime's own; mailboxes,
bus and tracker are plain objects, so that a million ticks take seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge.chunks import Chunk
from edge.drive import DriveReference
from edge.ladder import Mode, Rung
from edge.operator import Operator
from edge.pilot import Pilot
from edge.rates import LEASE_NS
from edge.reading import JointReader
from edge.records import CONTROL, chunk_dtype, drive_dtype
from edge.requests import PlanRequests
from edge.robot import Robot, parse_robot
from edge.safety import Limits, SafetyFilter
from edge.sensing import Sensing
from edge.shared_memory import Record
from edge.tracker import Sample
from firmware_bridge.errors import DeviceError
from firmware_bridge.messages import SafeSetpoint
from tests.edge_parts import POSE_KEY, TICK_NS, MemoryBus, lost, make_manifest, robot_data

START_NS = 1_000_000_000_000
OFTEN_NS = 20 * TICK_NS  # between two heartbeats of the supervisor
MODES = (*[Mode.POLICY] * 3, Mode.HOME, Mode.IDLE, Mode.SHUTDOWN, Mode.DRIVE, Mode.DRIVE)
TROUBLE_SHARE = 1 / 80  # of the ticks
LONGEST = {  # ticks
    "bus silent": 30,
    "tracker stale": 80,
    "tracker of another clock": 20,
    "tracker not a number": 20,
    "supervisor silent": 250,
    "joint blocked": 60,
    "planner silent": 150,
    "base's operator silent": 100,
    "base's velocity not a number": 1,
    "device refuses": 1,
    "mode": 1,
}
KINDS = (*LONGEST, *["mode"] * 8)


def make_mobile() -> Robot:
    """The arm of two joints on a base with one wheel."""
    data = robot_data(groups={"base": {"control": "velocity"}}, buses__arm__protocol="odrive")
    data["buses"]["arm"]["port"] = "oatcan:nowhere"
    data["joints"].insert(1, {"name": "wheel", "group": "base", "bus": "arm", "id": 3})
    data["joints"][1]["max_velocity_error_rad_s"] = 4.0
    data["joint_limits"]["wheel"] = {
        "has_position_limits": False,
        "max_velocity": 8.0,
        "max_acceleration": 30.0,
        "max_jerk": 3000.0,
    }
    return parse_robot(data, "mobile")


class Slot:
    """A mailbox: the newest record, taken once."""

    def __init__(self) -> None:
        self._record: Record | None = None

    def post(self, record: Record) -> None:
        self._record = record

    def take(self) -> Record | None:
        record, self._record = self._record, None
        return record


class Bell:
    def ring(self) -> None: ...


class Tracker:
    key = POSE_KEY

    def __init__(self) -> None:
        self.latest: Sample | None = None

    def poll(self) -> Sample | None:
        return self.latest


class Planner:
    """Answers on time, late, twice, wildly, with numbers that are none, or never."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._dtype = chunk_dtype(make_manifest())
        self._due: list[tuple[int, Record]] = []

    def ask(self, request: Record, tick: int) -> None:
        fate = self._random.random()
        if fate < 0.1:
            return
        late = self._random.integers(0, 2) if fate < 0.7 else self._random.integers(2, 45)
        prefix = int(self._random.integers(1, 5))
        self._due.append((tick + int(late), self._answer(request, prefix, 4)))
        if fate < 0.6:
            finer = min(4, prefix + int(self._random.integers(0, 3)))
            self._due.append((tick + int(late) + 2, self._answer(request, finer, 8)))

    def _answer(self, request: Record, prefix: int, valid: int) -> Record:
        record = np.zeros((), self._dtype)
        for name in ("plan", "epoch", "observed_ns"):
            record[name] = request[name]
        record["prefix"], record["valid"] = prefix, valid
        start = request["features"]["observation.command"][-1]
        size = self._random.choice([0.02, 0.1, 0.5, 5.0], p=[0.5, 0.3, 0.15, 0.05])
        record["actions"] = start + np.cumsum(self._random.normal(0, size, (8, 2)), axis=0)
        if self._random.random() < 0.02:
            record["actions"][self._random.integers(valid), 0] = np.nan
        if self._random.random() < 0.02:
            record[str(self._random.choice(["plan", "epoch"]))] += 1
        return record

    def answers(self, tick: int) -> list[Record]:
        due = [record for when, record in self._due if when <= tick]
        self._due = [item for item in self._due if item[0] > tick]
        return due


class SlowJoints:
    """``Engageable`` that needs up to 200 ms, or fails, or never ends; meanwhile joints sag."""

    def __init__(self, random: np.random.Generator, bus: MemoryBus, limits: Limits) -> None:
        self._random, self._bus, self._limits = random, bus, limits
        self.holds_any = False
        self.pending = self.engaged = False
        self.may_fail = False  # at the very start a failure would end the servo
        self._left, self._fails = 0, False

    def begin_engaging(self) -> None:
        assert not self.pending
        self.pending = True
        fate = self._random.random() if self.may_fail else 1.0
        self._left = 10**9 if fate < 0.05 else int(self._random.integers(1, 41))
        self._fails = fate < 0.2

    def engaging_done(self) -> bool:
        assert self.pending
        self._left -= 1
        if self._left <= 0 and self._fails:
            raise DeviceError("servo 4 refuses")
        return self._left <= 0

    def confirm_engaged(self) -> None:
        assert self.pending and self._left <= 0 and not self._fails
        self.pending, self.engaged = False, True

    def abandon_engaging(self) -> None:
        self.pending = False

    def sag(self) -> None:
        """Joints that nobody holds creep; a stale measured position would be a jump.

        They stay within their limits: where a joint is found beyond, its path begins there.
        """
        if self.pending:
            crept_rad = self._bus.position_rad + self._random.normal(0.0, 1e-3, 3)
            low, high = self._limits.lower_rad, self._limits.upper_rad
            self._bus.position_rad[:] = np.clip(crept_rad, low, high)


class World:
    """One seed's events. ``step`` is one tick; what it did stands in the attributes."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._robot, manifest = make_mobile(), make_manifest()
        self.limits = Limits.of(self._robot)
        self.now_ns, self.tick = START_NS, 0
        self._bus = MemoryBus(lambda: self.now_ns, (0.5, 7.0, 0.5))
        self._tracker, self._planner = Tracker(), Planner(self._random)
        self._control, self._requests, self._chunks = Slot(), Slot(), Slot()
        self._drive = Slot()
        parts: Any = (self._bus, [self._tracker], self._requests, self._chunks, Bell())
        sensing = Sensing(self._robot, manifest, JointReader(self._bus), parts[1])
        requests = PlanRequests(self._robot, manifest, *parts[2:])
        control: Any = self._control
        operator = Operator(control, self.now_ns)
        drive: Any = self._drive
        base = DriveReference(drive)
        self.joints = SlowJoints(self._random, self._bus, self.limits)
        joints = self.joints
        self.pilot = Pilot(self._robot, manifest, operator, sensing, requests, joints, base)
        self._drive_ns = 0
        self._heard_ns = self._word_ns = self.now_ns
        self._until = dict.fromkeys(LONGEST, 0)
        self._mode = Mode.POLICY
        self._arms = 0
        self.observed_ns: dict[int, int] = {}
        self.engaged = False  # by this tick
        self.pending_ticks = 0

    @property
    def filter(self) -> SafetyFilter:
        return self.pilot._filter

    @property
    def rung(self) -> Rung:
        return self.pilot._rung

    @property
    def chunk(self) -> Chunk | None:
        return self.pilot._follower.chunk

    @property
    def measured_rad(self) -> np.ndarray:
        return self._bus.position_rad

    @property
    def nobody_asks(self) -> bool:
        """Whether the servo has been told of no motion, or nothing for too long."""
        asleep = self.now_ns - self._heard_ns > LEASE_NS
        return asleep or self.pilot._operator.mode in (Mode.IDLE, Mode.SHUTDOWN)

    @property
    def must_not_move(self) -> bool:
        """Whether there is a plain reason for the arm to follow nothing."""
        sample = self._tracker.latest
        blind = sample is None or bool(np.isnan(sample.values).any())
        return blind or self.now_ns - self._heard_ns > LEASE_NS

    def step(self) -> SafeSetpoint | None:
        """One tick: events, the world's samples, the pilot's decision, the joints' answer."""
        self.tick += 1
        self.now_ns += TICK_NS
        if self._random.random() < TROUBLE_SHARE:
            self._make_trouble()
        self._feed()
        reading = self._read()
        self.joints.engaged = False
        self.joints.may_fail = self.filter.engaged or self.pilot._custody.disarmed
        setpoint = self.pilot.decide(reading, self.now_ns)
        self.pilot.ask_for_plan(self.now_ns)
        self.engaged = self.joints.engaged
        self.pending_ticks = self.pending_ticks + 1 if self.joints.pending else 0
        self.joints.sag()
        if setpoint is not None and self._now("device refuses"):
            self.pilot.release("the device's watchdog has stopped it")
        elif setpoint is not None and not self._now("joint blocked"):
            self._bus.write_setpoints(setpoint)
            self._bus.sent.clear()
        self._plan()
        return setpoint

    def _now(self, trouble: str) -> bool:
        return self.tick < self._until[trouble]

    def _make_trouble(self) -> None:
        kind = KINDS[self._random.integers(len(KINDS))]
        self._until[kind] = self.tick + 1 + int(self._random.integers(LONGEST[kind]))
        if kind == "mode":
            self._mode = MODES[self._random.integers(len(MODES))]
            self._arms += int(self._random.integers(2))
            self._word_ns = self.now_ns

    def _feed(self) -> None:
        if not self._now("supervisor silent") and self.now_ns >= self._word_ns:
            record = np.zeros((), CONTROL)
            record["mode"], record["heartbeat_ns"] = self._mode, self.now_ns
            record["arms"] = self._arms
            self._control.post(record)
            self._heard_ns, self._word_ns = self.now_ns, self.now_ns + OFTEN_NS
        if not self._now("base's operator silent") and self.tick % 10 == 0:
            self._steer()
        if not self._now("tracker stale"):
            ahead_ns = 10**9 if self._now("tracker of another clock") else 0
            value = np.nan if self._now("tracker not a number") else 0.1
            self._tracker.latest = Sample(self.now_ns + ahead_ns, np.full(3, value, np.float32))

    def _steer(self) -> None:
        record = np.zeros((), drive_dtype(1))
        record["stamp_ns"] = self._drive_ns = self.now_ns
        record["velocity_rad_s"] = self._random.normal(0.0, 6.0)
        if self._now("base's velocity not a number"):
            record["velocity_rad_s"] = np.nan
        self._drive.post(record)

    @property
    def drive_age_ns(self) -> int:
        """How old the newest velocity for the base is."""
        return self.now_ns - self._drive_ns

    def _read(self) -> Any:
        if self._now("bus silent"):
            self._bus.faults = [lost()]
        return self.pilot._sensing.read()

    def _plan(self) -> None:
        request = self._requests.take()
        if request is not None and int(request["plan"]):
            self.observed_ns[int(request["plan"])] = int(request["observed_ns"])
            if not self._now("planner silent"):
                self._planner.ask(request, self.tick)
        for answer in self._planner.answers(self.tick):
            self._chunks.post(answer)
