"""The servo: one fixed-rate loop from joint state to joint setpoint. It owns the bus, or several.

It runs in a process of its own, makes no inference, and outlives the planner. Every tick is
read → decide → write → ask → publish; only this loop reads the clock. A late tick names its slow
stage.
"""

from __future__ import annotations

import time

import numpy as np

from edge.bus_group import BusGroup, PartLostError
from edge.operator import Operator
from edge.pilot import Pilot
from edge.rates import NS_PER_US, period_ns
from edge.reading import Reading
from edge.records import tick_dtype
from edge.robot import Robot
from edge.sensing import Sensing
from edge.shared_memory import Ring
from edge.stages import StageWatch
from edge.ticker import Ticker
from firmware_bridge.bus import JointBus
from firmware_bridge.errors import DeviceError
from firmware_bridge.messages import SafeSetpoint


class Servo:
    """The loop on an open bus; every tick goes to the ``ticks`` ring with the time it took."""

    def __init__(
        self,
        robot: Robot,
        bus: JointBus | BusGroup,
        sensing: Sensing,
        pilot: Pilot,
        operator: Operator,
        ticks: Ring,
    ) -> None:
        self._bus = bus
        self._sensing = sensing
        self._pilot = pilot
        self._operator = operator
        self._ticks = ticks
        self._tick = np.zeros((), tick_dtype(len(robot.joints), len(robot.buses)))
        self._ticker = Ticker(period_ns(robot.servo.rate_hz), robot.servo.spin_us * NS_PER_US)
        self._stages = StageWatch()
        self._spun_ns = 0

    def run(self) -> None:
        """Tick until the operator wants the end and the arm stands still.

        Raises BridgeError when the port is gone; the controllers' own watchdogs then hold the arm.
        """
        self._ticker.restart()
        while not (self._operator.wants_the_end(time.monotonic_ns()) and self._pilot.may_end):
            self.tick()

    def tick(self) -> None:
        """Wait for the next tick and do all its work. Raises BridgeError as ``run`` does."""
        due_ns = self._ticker.wait()
        started_ns = time.monotonic_ns()
        self._pilot.give_notice(started_ns + self._stages.work_ns)
        reading = self._sensing.read()
        read_ns = time.monotonic_ns()
        self._pilot.give_notice(read_ns + self._stages.after_reading_ns)  # the bus varies the most
        setpoint = self._pilot.decide(reading, read_ns)
        decided_ns = time.monotonic_ns()
        self._write(setpoint)
        written_ns = time.monotonic_ns()
        self._pilot.ask_for_plan(written_ns)
        self._time_stages(due_ns, started_ns, read_ns, decided_ns, written_ns)
        self._publish(reading, setpoint, written_ns)

    def _write(self, setpoint: SafeSetpoint | None) -> None:
        """Send it. A device that refuses, its own watchdog having stopped it, is not ours then.

        Where others still obey, those are brought to rest and held.
        """
        if setpoint is None:
            return
        try:
            self._bus.write_setpoints(setpoint)
        except PartLostError as error:
            self._pilot.latch(str(error))
        except DeviceError as error:
            self._pilot.release(str(error))

    def _time_stages(
        self, due_ns: int, started_ns: int, read_ns: int, decided_ns: int, written_ns: int
    ) -> None:
        tick = self._tick
        tick["tick"] += 1
        tick["due_ns"] = due_ns
        tick["late_ns"] = started_ns - due_ns
        tick["read_ns"] = read_ns - started_ns
        tick["decide_ns"] = decided_ns - read_ns
        tick["write_ns"] = written_ns - decided_ns
        late = written_ns > self._ticker.next_ns
        tick["overrun"] = late
        tick["slow_stage"] = self._stages.judge(
            late,
            started_ns - due_ns,
            read_ns - started_ns,
            decided_ns - read_ns,
            written_ns - decided_ns,
        )
        self._describe_ticker()
        self._describe_buses()

    def _describe_ticker(self) -> None:
        tick, ticker = self._tick, self._ticker
        tick["skipped"] = ticker.skipped
        tick["slack_ns"] = ticker.slack_ns
        tick["spun_ns"] = ticker.spun_ns - self._spun_ns
        self._spun_ns = ticker.spun_ns

    def _describe_buses(self) -> None:
        tick = self._tick
        if isinstance(self._bus, BusGroup):
            self._bus.describe(tick)
        else:
            tick["bus_ns"][0] = tick["read_ns"] + tick["write_ns"]

    def _publish(self, reading: Reading, setpoint: SafeSetpoint | None, now_ns: int) -> None:
        tick = self._tick
        tick["sent"] = setpoint is not None
        tick["fresh"] = reading.fresh
        if not isinstance(self._bus, BusGroup):
            tick["bus_missed"][0] = not reading.fresh
        if reading.state is not None:
            tick["measured"] = reading.state.position_rad
            tick["state_age_ns"] = now_ns - reading.state.stamp_ns
        self._pilot.describe(tick, now_ns)
        self._ticks.append(tick)
