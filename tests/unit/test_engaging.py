"""Engaging joints beside the loop: nobody waits, nothing is sent early, every end is bounded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.engaging import Engagement
from edge.ladder import GAVE_UP, Mode, Rung
from edge.rates import ENGAGE_NS
from edge.reading import Reading
from edge.records import reason_of
from edge.returning_bus import BusAwayError, ReturningBus
from firmware_bridge.errors import BridgeError, BusTimeout, DeviceError, PortError
from firmware_bridge.messages import SafeSetpoint
from tests.contract.emulated_line import eventually
from tests.edge_parts import TICK_NS, MemoryBus, lost
from tests.unit.test_edge_pilot import Story

ENGAGE_TICKS = ENGAGE_NS // TICK_NS


class Joints:
    """Joints that are enabled when the test says so; meanwhile they get nothing."""

    def __init__(self) -> None:
        self.holds_any = False
        self.enabled = False
        self.fault: BridgeError | None = None
        self.begun = self.confirmed = self.abandoned = 0

    def begin_engaging(self) -> None:
        self.begun += 1

    def engaging_done(self) -> bool:
        if self.fault is not None:
            raise self.fault
        return self.enabled

    def confirm_engaged(self) -> None:
        self.confirmed += 1

    def abandon_engaging(self) -> None:
        self.abandoned += 1


class Slow(Story):
    """A story whose joints take their time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.joints = Joints()
        self.pilot._custody._engagement = Engagement(self.joints)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    with Slow(tmp_path) as story:
        story.go(5)
        story.mode = Mode.HOME
        yield story


def test_ticks_go_on_and_nothing_is_sent_until_the_joints_are_enabled_and_read_again(
    slow: Slow,
) -> None:
    slow.go(30)
    assert (slow.joints.begun, slow.joints.confirmed) == (1, 0)
    assert slow.rung is Rung.DISENGAGED and slow.reason == "the joints are being engaged"
    slow.joints.enabled = True
    slow.go(1)  # it is noticed; the reading of this tick was taken before
    assert not slow.joints.confirmed
    slow.bus.position_rad[:] = [-0.8, 1.9]
    slow.bus.faults = [lost()]
    slow.go(1)
    assert not slow.joints.confirmed
    slow.go(1)
    assert slow.joints.confirmed == 1 and not slow.bus.sent
    slow.go(1)
    np.testing.assert_allclose(slow.bus.sent[0].position_rad, [-0.8, 1.9], atol=1e-4)


@pytest.mark.parametrize("mode", [Mode.IDLE, Mode.SHUTDOWN])
def test_who_asks_for_a_stop_while_joints_are_enabled_is_obeyed_in_that_tick(
    slow: Slow, mode: Mode
) -> None:
    slow.go(3)
    slow.mode = mode
    slow.go(1)
    slow.joints.enabled = True
    slow.go(20)
    assert (slow.joints.abandoned, slow.joints.confirmed, slow.bus.sent) == (1, 0, [])
    assert slow.rung is Rung.DISENGAGED and slow.pilot.may_end


def test_a_supervisor_that_falls_silent_while_joints_are_enabled_ends_that(slow: Slow) -> None:
    slow.go(3)
    slow.supervised = False
    slow.go(150)
    slow.joints.enabled = True
    slow.go(10)
    assert (slow.joints.abandoned, slow.joints.confirmed, slow.bus.sent) == (1, 0, [])


def test_joints_that_never_become_enabled_are_an_error_in_bounded_time(slow: Slow) -> None:
    with pytest.raises(BusTimeout, match="joints not enabled within 3 s"):
        slow.go(ENGAGE_TICKS + 3)
    assert len(slow.ticks) >= ENGAGE_TICKS - 3 and not slow.bus.sent


def test_a_first_enabling_that_fails_ends_the_servo_with_what_the_device_said(slow: Slow) -> None:
    slow.go(3)
    slow.joints.fault = DeviceError("servo 4 refuses")
    with pytest.raises(DeviceError, match="servo 4 refuses"):
        slow.go(1)
    assert not slow.bus.sent


@pytest.mark.parametrize(("holds_others", "rung"), [(False, Rung.DISENGAGED), (True, Rung.HOLD)])
def test_a_later_enabling_that_fails_is_an_event_and_what_is_held_goes_on_being_held(
    slow: Slow, holds_others: bool, rung: Rung
) -> None:
    slow.joints.enabled = True
    slow.until(Rung.HOLD)
    slow.pilot.latch("bus base: axis 0 stopped")
    slow.go(50)
    slow.joints.holds_any, slow.joints.enabled = holds_others, False
    slow.arms += 1
    sent = len(slow.bus.sent)
    slow.go(10)
    assert slow.joints.begun == 2 and (len(slow.bus.sent) > sent) is holds_others
    slow.joints.fault = DeviceError("servo 4 refuses")
    slow.go(2)
    assert (slow.rung, slow.reason) == (rung, "servo 4 refuses")
    assert slow.ticks[-1]["disarmed"]
    slow.joints.fault = None
    slow.go(50)  # nobody asks again by himself
    assert slow.joints.begun == 2


def test_joints_enabled_but_unseen_are_given_up_and_enabled_anew_when_they_are_seen(
    slow: Slow,
) -> None:
    slow.joints.enabled = True
    slow.go(1)
    slow.pose[2] = np.nan
    slow.go(ENGAGE_TICKS - 5)
    nan = "observation.environment_state[2] is nan"
    assert slow.reason == f"the joints are enabled, but not seen: {nan}"
    slow.go(10)
    assert (slow.joints.begun, slow.joints.abandoned, slow.joints.confirmed) == (1, 1, 0)
    told = [reason_of(tick) for tick in slow.ticks if reason_of(tick).startswith(GAVE_UP)]
    assert told == [f"{GAVE_UP}: {nan}"]
    assert slow.reason == nan
    slow.pose[2] = 0.0
    slow.go(5)
    assert (slow.joints.begun, slow.joints.confirmed) == (2, 1)


def test_giving_up_tells_of_readings_that_never_came_and_it_is_begun_anew_by_itself(
    slow: Slow,
) -> None:
    slow.joints.enabled = True
    slow.go(1)
    slow.bus.faults = [lost("7") if tick % 2 else lost("9") for tick in range(2 * ENGAGE_TICKS)]
    slow.sensing._max_age_ns = 10 * ENGAGE_NS  # what is stale would tell of itself
    slow.go(ENGAGE_TICKS + 5)
    told = [reason_of(tick) for tick in slow.ticks if reason_of(tick).startswith(GAVE_UP)]
    assert len(told) == 1 and "no answer from" in told[0]
    slow.bus.faults.clear()
    slow.go(5)
    assert (slow.joints.begun, slow.joints.confirmed) == (2, 1)


def test_joints_that_a_person_armed_in_vain_wait_for_the_next_request_and_say_why(
    slow: Slow,
) -> None:
    slow.joints.enabled = True
    slow.until(Rung.HOLD)
    slow.pilot.release("port /dev/arm is gone")
    slow.go(5)
    slow.arms += 1
    slow.go(1)
    slow.pose[2] = np.nan
    slow.go(ENGAGE_TICKS + 5)
    slow.pose[2] = 0.0
    slow.go(50)
    assert slow.reason == f"{GAVE_UP}: observation.environment_state[2] is nan"
    assert slow.joints.begun == 2 and slow.ticks[-1]["disarmed"]
    slow.arms += 1
    slow.go(5)
    assert slow.joints.confirmed == 2 and not slow.ticks[-1]["disarmed"]


class Busy(MemoryBus):
    """A bus whose enabling waits for ``go_on``; it counts calls that come meanwhile."""

    def __init__(self) -> None:
        super().__init__(lambda: 1)
        self.go_on = threading.Event()
        self.inside = False
        self.disturbed = 0

    def read_state(self):  # type: ignore[no-untyped-def]
        self.disturbed += self.inside
        return super().read_state()

    def enable(self) -> None:
        self.inside = True
        self.go_on.wait(20.0)
        self.inside = False
        super().enable()


@pytest.fixture
def busy() -> Iterator[Busy]:
    made = Busy()
    yield made
    made.go_on.set()


def begin(bus: ReturningBus) -> None:
    bus.begin_engaging()
    assert not bus.engaging_done()


def setpoint() -> SafeSetpoint:
    return SafeSetpoint(1, np.zeros(2))


def test_a_bus_that_is_being_enabled_answers_at_once_that_it_is_and_takes_no_setpoint(
    busy: Busy,
) -> None:
    bus = ReturningBus(busy)
    bus.write_setpoints(setpoint())
    begin(bus)
    for _ in range(5):
        with pytest.raises(BusTimeout, match="being enabled"):
            bus.read_state()
        with pytest.raises(BusAwayError, match="not engaged"):
            bus.write_setpoints(setpoint())
        assert not bus.engaging_done() and not bus.holds_any
    busy.go_on.set()
    assert eventually(bus.engaging_done)
    bus.read_state()
    with pytest.raises(BusAwayError, match="not engaged"):
        bus.write_setpoints(setpoint())
    bus.confirm_engaged()
    bus.write_setpoints(setpoint())
    assert (len(busy.sent), busy.enabled, busy.disturbed) == (2, 1, 0)
    bus.close()


def test_what_was_abandoned_lets_no_setpoint_through_and_a_new_attempt_enables_anew(
    busy: Busy,
) -> None:
    bus = ReturningBus(busy)
    begin(bus)
    bus.abandon_engaging()
    bus.begin_engaging()
    assert not bus.engaging_done()  # the first is still at it
    busy.go_on.set()
    assert eventually(bus.engaging_done)
    assert busy.enabled == 2 and not bus.holds_any


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(DeviceError("servo 4 refuses"), DeviceError), (PortError("port is gone"), BusAwayError)],
)
def test_why_enabling_failed_is_told_to_who_looks(
    busy: Busy, fault: BridgeError, kind: type[BridgeError]
) -> None:
    busy.refusals = [fault]
    busy.go_on.set()
    bus = ReturningBus(busy)
    begin(bus)
    with pytest.raises(kind, match=str(fault)):
        eventually(bus.engaging_done)
    with pytest.raises(BusAwayError):
        bus.write_setpoints(setpoint())
    bus.close()


def test_a_reading_says_nothing_of_enabling_that_the_tick_had_not_begun() -> None:
    joints = Joints()
    engagement = Engagement(joints)
    engagement.begin(Reading(None, False, "no answer"), 0)
    joints.enabled = True
    assert not engagement.look(Reading(None, False, "no answer"), TICK_NS)
    assert not engagement.look(Reading(None, False, "no answer"), 2 * TICK_NS)
