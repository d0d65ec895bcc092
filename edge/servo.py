"""The servo: one fixed-rate loop from joint state to joint setpoint. It owns the bus.

It runs in a process of its own, makes no inference, and outlives the planner. Every tick is
read → decide → write → publish, each handed the tick's time; only ``run`` reads the clock.
"""

from __future__ import annotations

import time

import numpy as np

from edge import ladder
from edge.bundle import Manifest
from edge.chunks import Chunk, Follower, Ramp
from edge.ladder import Mode, Rung
from edge.rates import ABANDONED_NS, LEASE_NS, NS_PER_MS, NS_PER_US, period_ns
from edge.realtime import Ticker
from edge.records import Channels, request_dtype, tick_dtype
from edge.robot import Robot
from edge.safety import Limits, SafetyFilter, Stop
from edge.sensing import Reading, Sensing
from edge.session import Bell
from firmware_bridge.bus import JointBus
from firmware_bridge.errors import BridgeError
from firmware_bridge.messages import Float64Array, SafeSetpoint


class PlanRequests:
    """Asks the planner for the next chunk when it is due, and knows when it is overdue."""

    def __init__(self, robot: Robot, manifest: Manifest, channels: Channels, bell: Bell) -> None:
        self.epoch = 0
        self.plan = 0
        self._mailbox = channels.request
        self._bell = bell
        self._record = np.zeros((), request_dtype(manifest))
        self._budget_ns = robot.planner.budget_us * NS_PER_US
        self._step_ns = period_ns(manifest.action.rate_hz)
        self._execution_ns = manifest.action.execution_horizon * self._step_ns
        self._deadline_ns = 0
        self._waiting = False

    def void(self) -> None:
        """Motion stopped: whatever is being planned must not be followed."""
        self.epoch += 1
        self._waiting = False

    def answered(self) -> None:
        """The chunk that was asked for is here."""
        self._waiting = False

    def overdue(self, now_ns: int) -> bool:
        """Whether a chunk that was asked for has missed its deadline."""
        return self._waiting and now_ns > self._deadline_ns

    def due(self, chunk: Chunk | None, now_ns: int) -> bool:
        """Whether to ask now: the followed chunk is used up, and no younger request is open."""
        if self._waiting:
            return now_ns >= self._deadline_ns + self._step_ns
        return chunk is None or now_ns >= chunk.observed_ns + self._execution_ns

    def ask(self, sensing: Sensing, now_ns: int) -> Stop | None:
        """Post this tick's observation with its deadline; a Stop if it cannot be planned from."""
        stop = sensing.write_features(self._record["features"])
        if stop is None:
            self.plan += 1
            self._deadline_ns = now_ns + self._budget_ns
            self._waiting = True
            self._record["plan"] = self.plan
            self._record["epoch"] = self.epoch
            self._record["observed_ns"] = now_ns
            self._record["deadline_ns"] = self._deadline_ns
            self._mailbox.post(self._record)
            self._bell.ring()
        return stop


class Servo:
    """The loop's state and stages. ``manifest`` is the bundle's; the bus must be open."""

    def __init__(
        self,
        robot: Robot,
        manifest: Manifest,
        bus: JointBus,
        sensing: Sensing,
        channels: Channels,
        bell: Bell,
    ) -> None:
        self.period_ns = period_ns(robot.servo.rate_hz)
        self._robot = robot
        self._bus = bus
        self._sensing = sensing
        self._channels = channels
        self._requests = PlanRequests(robot, manifest, channels, bell)
        self._step_ns = period_ns(manifest.action.rate_hz)
        self._tokens = manifest.tokenizer.tokens
        self._filter = SafetyFilter(
            tuple(joint.name for joint in robot.joints), Limits.of(robot), self.period_ns / 1e9
        )
        self._home = np.array([joint.home_rad for joint in robot.joints])
        self._follower = Follower(round(robot.servo.blend_ms * NS_PER_MS))
        self._ramp: Ramp | None = None
        self._mode = Mode.IDLE
        self._episode = 0
        self._latched = ""
        self._starts: dict[int, Float64Array] = {}
        self._tick = np.zeros((), tick_dtype(len(robot.joints)))
        self._created_ns = time.monotonic_ns()

    def run(self) -> None:
        """Tick until the supervisor asks for the end, or has been gone for too long.

        Raises BridgeError when the port is gone; the controllers' own watchdogs then hold the arm.
        """
        ticker = Ticker(self.period_ns, self._robot.servo.spin_us * NS_PER_US)
        tick = self._tick
        while not self._finished(time.monotonic_ns()):
            due_ns = ticker.wait()
            started_ns = time.monotonic_ns()
            reading = self._sensing.read()
            read_ns = time.monotonic_ns()
            setpoint = self.decide(reading, read_ns)
            decided_ns = time.monotonic_ns()
            self.write(setpoint)
            written_ns = time.monotonic_ns()
            tick["tick"] += 1
            tick["due_ns"] = due_ns
            tick["late_ns"] = started_ns - due_ns
            tick["skipped"] = ticker.skipped
            tick["read_ns"] = read_ns - started_ns
            tick["decide_ns"] = decided_ns - read_ns
            tick["write_ns"] = written_ns - decided_ns
            tick["overrun"] = written_ns > ticker.next_ns
            self.publish(reading, written_ns)

    def decide(self, reading: Reading, now_ns: int) -> SafeSetpoint | None:
        """From this tick's reading to its setpoint; None where nothing may be sent."""
        stop = self._sensing.update(reading, self._filter.position_rad, now_ns)
        self._obey(reading, stop, now_ns)
        stop = stop or self._lease(now_ns) or self._watch(reading)
        self._take_chunk(now_ns)
        rung, reason = ladder.choose(self._situation(stop, now_ns))
        self._ask_for_plan(stop, rung, now_ns)
        verdict = self._setpoint(rung, now_ns)
        if isinstance(verdict, Stop):
            self._latched = verdict.reason
            reason = verdict.reason
            verdict = self._filter.decelerate(now_ns)
        self._note(rung, reason or "", now_ns)
        return verdict if isinstance(verdict, SafeSetpoint) else None

    def write(self, setpoint: SafeSetpoint | None) -> None:
        """Send the setpoint, if there is one."""
        self._tick["sent"] = setpoint is not None
        if setpoint is not None:
            self._bus.write_setpoints(setpoint)

    def publish(self, reading: Reading, now_ns: int) -> None:
        """Append this tick to the telemetry ring."""
        tick = self._tick
        if reading.state is not None:
            tick["measured"] = reading.state.position_rad
            tick["state_age_ns"] = now_ns - reading.state.stamp_ns
        tick["fresh"] = reading.fresh
        tick["command"] = self._filter.position_rad
        tick["velocity"] = self._filter.velocity_rad_s
        tick["mode"] = self._mode
        tick["episode"] = self._episode
        self._channels.ticks.append(tick)

    # ---- what was asked for

    def _finished(self, now_ns: int) -> bool:
        control = self._channels.control.latest()
        if control is None:
            return now_ns - self._created_ns > ABANDONED_NS
        gone = now_ns - int(control["heartbeat_ns"]) > ABANDONED_NS
        asked = int(control["mode"]) == Mode.SHUTDOWN
        return (gone or asked) and (self._filter.at_rest or not self._filter.engaged)

    def _obey(self, reading: Reading, stop: Stop | None, now_ns: int) -> None:
        """Follow the operator's mode; torque comes on only from a good, fresh reading."""
        control = self._channels.control.latest()
        if control is None:
            return
        self._episode = int(control["episode"])
        mode = Mode(int(control["mode"]))
        if mode is self._mode or (stop is not None and mode is not Mode.SHUTDOWN):
            return
        if mode in (Mode.HOME, Mode.POLICY) and not self._filter.engaged:
            if not reading.fresh or reading.state is None:
                return
            self._bus.enable()
            self._filter.engage(reading.state.position_rad)
        self._mode = mode
        self._latched = ""
        self._halt()
        if mode is Mode.HOME:
            self._ramp = Ramp(
                self._filter.position_rad, self._home, self._robot.servo.ramp_velocity_rad_s, now_ns
            )

    def _lease(self, now_ns: int) -> Stop | None:
        control = self._channels.control.latest()
        if control is None or now_ns - int(control["heartbeat_ns"]) <= LEASE_NS:
            return None
        return Stop("the supervisor is silent")

    def _watch(self, reading: Reading) -> Stop | None:
        if self._latched:
            return Stop(self._latched)
        if not self._filter.engaged or not reading.fresh or reading.state is None:
            return None
        stop = self._filter.check_tracking(reading.state.position_rad)
        if stop is not None:
            self._latched = stop.reason
        return stop

    # ---- planning and following

    def _ask_for_plan(self, stop: Stop | None, rung: Rung, now_ns: int) -> None:
        """Ask when a plan is due; never while still slowing down, for that plan would be void."""
        if stop is not None or self._mode is not Mode.POLICY or rung is Rung.DECELERATE:
            return
        if not self._requests.due(self._follower.chunk, now_ns):
            return
        if self._requests.ask(self._sensing, now_ns) is None:
            self._starts[self._requests.plan] = self._filter.position_rad.copy()

    def _take_chunk(self, now_ns: int) -> None:
        record = self._channels.chunk.take()
        if record is None or int(record["epoch"]) != self._requests.epoch:
            return
        plan = int(record["plan"])
        start = self._starts.get(plan)
        if start is None or self._mode is not Mode.POLICY:
            return
        if plan == self._requests.plan:
            self._requests.answered()
        actions = record["actions"][: int(record["valid"])].astype(np.float64)
        chunk = Chunk(
            plan,
            int(record["observed_ns"]),
            self._step_ns,
            int(record["prefix"]),
            np.vstack([start, actions]),
        )
        if now_ns < chunk.end_ns:
            self._follower.accept(chunk, now_ns)
        self._starts = {key: value for key, value in self._starts.items() if key >= plan}

    def _situation(self, stop: Stop | None, now_ns: int) -> ladder.Situation:
        chunk = self._follower.chunk
        return ladder.Situation(
            mode=self._mode,
            engaged=self._filter.engaged,
            at_rest=self._filter.at_rest,
            at_home=self._at_home(now_ns),
            stop=stop.reason if stop is not None else "",
            has_reference=self._follower.has_reference(now_ns),
            overdue=self._requests.overdue(now_ns),
            full=chunk is not None and chunk.prefix == self._tokens,
        )

    def _at_home(self, now_ns: int) -> bool:
        arrived = np.abs(self._filter.position_rad - self._home).max() < 1e-3
        return self._ramp is not None and self._ramp.finished(now_ns) and bool(arrived)

    def _setpoint(self, rung: Rung, now_ns: int) -> SafeSetpoint | Stop | None:
        """The rung's motion through the safety filter."""
        if rung is Rung.DISENGAGED:
            return None
        if rung is Rung.RAMP and self._ramp is not None:
            self._tick["reference"] = self._ramp.reference(now_ns)
        elif rung <= Rung.TAIL:
            self._tick["reference"] = self._follower.reference(now_ns)
        else:
            self._halt()
            self._tick["reference"] = self._filter.position_rad
            return self._filter.decelerate(now_ns)
        return self._filter.track(self._tick["reference"], now_ns)

    def _halt(self) -> None:
        """Forget what was followed; plans made before the halt are void."""
        if self._follower.chunk is not None:
            self._follower.clear()
            self._requests.void()

    def _note(self, rung: Rung, reason: str, now_ns: int) -> None:
        chunk = self._follower.chunk
        self._tick["rung"] = rung
        self._tick["reason"] = reason.encode()
        self._tick["at_home"] = self._at_home(now_ns)
        self._tick["prefix"] = chunk.prefix if chunk is not None else 0
        self._tick["plan"] = chunk.plan if chunk is not None else 0
        self._tick["plan_age_ns"] = now_ns - chunk.observed_ns if chunk is not None else 0


def is_bus_lost(error: BridgeError) -> str:
    """The line for an operator when a port went away under the servo."""
    return f"bus lost: {error}; the controllers' watchdogs hold the arm"
