"""Several buses in one servo tick, as one ``JointBus``.

Each is read within its own time budget and by its own thread (``edge.bus_lane``): a slow or silent
bus costs a tick no more than its budget, and the others their readings not at all. What a bus did
not bring ages; the state of the whole robot is as old as its oldest part.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import numpy as np

from edge.bus_lane import BusLane
from edge.rates import ENGAGE_NS, NS_PER_MS, NS_PER_S, SWITCH_S
from edge.reading import Reading
from edge.shared_memory import Record
from firmware_bridge.errors import BridgeError, BusTimeout, DeviceError
from firmware_bridge.messages import JointState, SafeSetpoint

WRITE_NS = 1 * NS_PER_MS  # a tick waits so long for setpoints to be handed to the ports


class PartLostError(DeviceError):
    """Part of the joints is not ours any more; the others still obey."""


class BusGroup:
    """Implements ``JointBus`` over ``lanes``, which together drive all ``joints``.

    Joints whose bus has stopped obeying (a watchdog, a port that is gone) get no setpoints until
    ``enable``; the others go on getting theirs.
    """

    def __init__(self, lanes: Sequence[BusLane], joints: int) -> None:
        self._lanes = list(lanes)
        self._joints = joints
        self._engaging: list[BusLane] = []

    def open(self) -> None:
        """Open every bus; none stays open where one fails. See ``JointBus.open``."""
        opened: list[BusLane] = []
        try:
            for lane in self._lanes:
                lane.bus.open()
                opened.append(lane)
        except BridgeError:
            for lane in opened:
                lane.bus.close()
            raise
        sys.setswitchinterval(SWITCH_S)

    def read(self) -> Reading:
        """Read all buses at once, waiting for each no longer than its budget."""
        began_ns = time.monotonic_ns()
        for lane in self._lanes:
            lane.begin_read()
        faults = [fault for lane in self._lanes if (fault := lane.end_read(began_ns))]
        refused = any(lane.refused for lane in self._lanes)
        return Reading(self._merged(), not faults, "; ".join(faults), refused)

    def _merged(self) -> JointState | None:
        """The last good state of every joint, as old as the oldest; None before the first."""
        position, velocity, current = np.empty((3, self._joints))
        stamp_ns = sys.maxsize
        for lane in self._lanes:
            state = lane.state
            if state is None:
                return None
            stamp_ns = min(stamp_ns, state.stamp_ns)
            position[lane.joints] = state.position_rad
            velocity[lane.joints] = state.velocity_rad_s
            current[lane.joints] = state.current_ma
        return JointState(stamp_ns, position, velocity, current)

    def read_state(self) -> JointState:
        """See ``JointBus.read_state``; raises ``BusTimeout`` naming the buses that brought none."""
        reading = self.read()
        if reading.state is None or not reading.fresh:
            raise BusTimeout(reading.fault)
        return reading.state

    def write_setpoints(self, setpoint: SafeSetpoint) -> None:
        """Send each engaged bus its part.

        Raises ``PartLostError`` once joints do not obey any more, ``DeviceError`` when none does.
        """
        for lane in self._lanes:
            lane.begin_write(setpoint)
        deadline_ns = time.monotonic_ns() + WRITE_NS
        for lane in self._lanes:
            lane.finished(deadline_ns)
        lost = [lane for lane in self._lanes if lane.refused]
        if lost:
            faults = "; ".join(lane.take_refusal() for lane in lost)
            raise PartLostError(faults) if self.holds_any else DeviceError(faults)

    def enable(self) -> None:
        """Engage every bus that is not, and wait for it; see ``JointBus.enable``."""
        deadline_ns = time.monotonic_ns() + ENGAGE_NS
        self.begin_engaging()
        try:
            while not self.engaging_done():
                if time.monotonic_ns() > deadline_ns:
                    raise BusTimeout(f"buses not enabled in {ENGAGE_NS // NS_PER_S} s")
                time.sleep(SWITCH_S)
            self.confirm_engaged()
        finally:
            self.abandon_engaging()

    @property
    def holds_any(self) -> bool:
        """Whether any bus gets setpoints."""
        return any(lane.engaged for lane in self._lanes)

    def begin_engaging(self) -> None:
        """See ``Engageable``. Those that obey are left alone and go on getting their setpoints.

        Wheels before arms: they stand, and an arm's own watchdog waits for what comes next.
        """
        lost = [lane for lane in self._lanes if not lane.engaged]
        self._engaging = sorted(lost, key=lambda lane: not lane.turns)
        for lane in self._engaging:
            lane.ask_to_enable()

    def engaging_done(self) -> bool:
        """See ``Engageable``; one bus after the other, each in its own thread."""
        return all(lane.look_at_enabling() for lane in self._engaging)

    def confirm_engaged(self) -> None:
        """See ``Engageable``; a bus that has failed since it was enabled stays out."""
        for lane in self._engaging:
            lane.engaged = lane.enabled
        self._engaging = []

    def abandon_engaging(self) -> None:
        """See ``Engageable``."""
        for lane in self._engaging:
            lane.forget_enabling()
        self._engaging = []

    def disable(self) -> None:
        """Torque off on every bus."""
        for lane in self._lanes:
            lane.finished(time.monotonic_ns() + ENGAGE_NS)
            lane.engaged = False
            lane.bus.disable()

    def close(self) -> None:
        """Give all ports back and leave torque as it is."""
        for lane in self._lanes:
            lane.close()

    def describe(self, tick: Record) -> None:
        """Write what each bus took, and whether it brought nothing, into a tick's record."""
        for index, lane in enumerate(self._lanes):
            tick["bus_ns"][index] = lane.read_ns + lane.write_ns
            tick["bus_missed"][index] = lane.missed
