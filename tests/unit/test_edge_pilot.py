"""The servo's decisions over simulated time: whole stories, tick by tick, on real channels."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from edge.engaging import AtOnce
from edge.ladder import Mode, Rung
from edge.operator import Operator
from edge.pilot import Pilot
from edge.rates import LEASE_NS
from edge.records import CONTROL, reason_of, tick_dtype
from edge.report import LimitAudit
from edge.safety import Limits
from edge.shared_memory import Mailbox, Record
from firmware_bridge.errors import DeviceError
from tests.edge_desk import Desk
from tests.edge_parts import STEP_NS, TICK_NS, lost

Planner = Callable[[Record], None]


class Story(Desk):
    """A servo without its clock: ``go`` runs ticks; ``planner`` answers requests, or does not."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._control = Mailbox(folder / "control", CONTROL, create=True)
        operator = Operator(Mailbox(folder / "control", CONTROL), self.now_ns)
        joints = AtOnce(self.bus.enable)
        self.pilot = Pilot(self.robot, self.manifest, operator, self.sensing, self.requests, joints)
        self.audit = LimitAudit(Limits.of(self.robot), TICK_NS / 1e9)
        self.mode = Mode.IDLE
        self.arms = 0
        self.refusal = ""  # what the next setpoint is answered with
        self.supervised = True
        self.pose = np.zeros(3, np.float32)
        self.planner: Planner = lambda request: None
        self.blocked = False
        self.ticks: list[Record] = []
        self._request: Record | None = None

    def go(self, ticks: int) -> None:
        for _ in range(ticks):
            self._tick()

    def until(self, rung: Rung, limit: int = 1000) -> None:
        for _ in range(limit):
            self._tick()
            if self.rung is rung:
                return
        raise AssertionError(f"never came to {rung.label}: {self.path}")

    @property
    def rung(self) -> Rung:
        return Rung(int(self.ticks[-1]["rung"]))

    @property
    def reason(self) -> str:
        return reason_of(self.ticks[-1])

    @property
    def path(self) -> list[str]:
        return [rung.label for rung, _ in groupby(Rung(int(t["rung"])) for t in self.ticks)]

    def _tick(self) -> None:
        self.now_ns += TICK_NS
        self.send(self.pose)
        if self.supervised:
            record = np.zeros((), CONTROL)
            record["mode"], record["heartbeat_ns"] = self.mode, self.now_ns
            record["arms"] = self.arms
            self._control.post(record)
        request = self.posted.take()
        if request is not None and int(request["plan"]):
            self.planner(request)
        reading = self.sensing.read()
        setpoint = self.pilot.decide(reading, self.now_ns)
        self.pilot.ask_for_plan(self.now_ns)
        if setpoint is not None and self.refusal:
            self.pilot.release(self.refusal)
            self.refusal = ""
        elif setpoint is not None and not self.blocked:
            self.bus.write_setpoints(setpoint)
        tick = np.zeros((), tick_dtype(2))
        tick["tick"], tick["sent"] = len(self.ticks) + 1, setpoint is not None
        self.pilot.describe(tick, self.now_ns)
        self.ticks.append(tick)
        self.audit.add(tick[None])

    def answer_by(self, prefix: int = 4) -> Planner:
        """A planner that answers at once with chunks of ``prefix`` tokens, 0.02 rad a step."""

        def plan(request: Record) -> None:
            self.answer(request, prefix, step_rad=0.02)

        return plan


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with Story(tmp_path) as made:
        yield made
        assert made.audit.violations == 0


def at_work(story: Story, prefix: int = 4) -> None:
    story.go(10)
    story.mode, story.planner = Mode.POLICY, story.answer_by(prefix)
    story.until(Rung.FULL if prefix == 4 else Rung.PREFIX)


def test_nothing_is_sent_and_no_torque_comes_on_before_the_operator_asks(story: Story) -> None:
    story.go(50)
    assert (story.bus.enabled, story.bus.sent) == (0, [])
    assert (story.rung, story.reason) == (Rung.DISENGAGED, "not engaged")


def test_no_torque_comes_on_while_an_observation_is_not_finite_and_the_reason_names_it(
    story: Story,
) -> None:
    story.pose[2] = np.nan
    story.mode = Mode.HOME
    story.go(100)
    assert (story.bus.enabled, story.bus.sent) == (0, [])
    assert story.reason == "observation.environment_state[2] is nan"
    story.pose[2] = 0.0
    story.go(1)
    assert story.bus.enabled == 1


def test_torque_comes_on_only_from_a_fresh_reading(story: Story) -> None:
    story.go(5)
    story.mode = Mode.HOME
    story.bus.faults = [lost()]
    story.go(1)
    assert story.bus.enabled == 0
    story.go(1)
    assert story.bus.enabled == 1


def test_homing_ramps_from_the_measured_position_to_the_start_posture(story: Story) -> None:
    story.bus.position_rad[:] = [-0.8, 1.9]
    story.go(5)
    story.mode = Mode.HOME
    story.go(3)
    np.testing.assert_allclose(story.bus.sent[0].position_rad, [-0.8, 1.9], atol=1e-4)
    story.until(Rung.RAMP)
    story.until(Rung.HOLD)
    assert story.ticks[-1]["at_home"]
    np.testing.assert_allclose(story.bus.position_rad, [0.5, 0.5], atol=1e-3)


def test_chunks_of_all_tokens_are_followed_as_full_and_others_as_prefix(story: Story) -> None:
    at_work(story)
    story.go(200)
    assert story.path[-1] == "full"
    story.planner = story.answer_by(prefix=2)
    story.until(Rung.PREFIX)
    assert int(story.ticks[-1]["prefix"]) == 2


def test_a_plan_that_took_long_at_standstill_is_followed_from_its_start(story: Story) -> None:
    """Entered at the index due by then, the arm would leap after a motion that it has not made."""
    waiting: list[Record] = []
    story.go(10)
    story.mode, story.planner = Mode.POLICY, lambda request: waiting.append(request.copy())
    story.go(24)  # long enough to be overdue, and to be asked for once more
    assert len(waiting) > 1
    story.answer(waiting[0], step_rad=0.2)
    story.planner = lambda request: None
    began = story.bus.position_rad.copy()
    story.go(1)
    assert story.rung is Rung.FULL
    reference = story.ticks[-1]["reference"]
    ahead = story.pilot._filter.delay_ns / STEP_NS
    np.testing.assert_allclose(reference, began + 0.2 * np.sin(1 / 3) * ahead, atol=1e-6)
    story.answer(waiting[1], step_rad=-0.2)
    story.go(1)
    assert int(story.ticks[-1]["plan"]) == int(waiting[0]["plan"])


def test_without_a_planner_the_arm_goes_down_the_ladder_and_up_again_with_one(
    story: Story,
) -> None:
    at_work(story)
    story.planner = lambda request: None
    story.until(Rung.HOLD)
    story.go(200)
    assert story.path[-4:] == ["full", "tail", "decelerate", "hold"]
    held = story.bus.position_rad.copy()
    story.go(100)
    np.testing.assert_array_equal(story.bus.position_rad, held)
    story.planner = story.answer_by()
    story.until(Rung.FULL)


def test_while_engaged_every_tick_sends_a_setpoint_on_every_rung(story: Story) -> None:
    at_work(story)
    first = next(index for index, tick in enumerate(story.ticks) if tick["sent"])
    story.planner = lambda request: None
    story.go(200)
    story.pose[0] = np.inf
    story.go(50)
    assert all(tick["sent"] for tick in story.ticks[first:])


def test_a_silent_supervisor_stops_the_arm(story: Story) -> None:
    at_work(story)
    story.supervised = False
    story.go(LEASE_NS // TICK_NS - 1)
    assert story.rung is Rung.FULL
    story.until(Rung.HOLD, 100)
    assert story.reason == "the supervisor is silent"


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_an_observation_that_is_not_finite_stops_the_arm_within_limits(
    story: Story, poison: float
) -> None:
    at_work(story)
    story.pose[1] = poison
    story.until(Rung.HOLD, 100)
    assert story.path[-2:] == ["decelerate", "hold"]
    assert f"[1] is {poison}" in story.reason


def test_lost_packets_are_ridden_out_and_a_silent_bus_stops_the_arm(story: Story) -> None:
    at_work(story)
    story.bus.faults = [lost() for _ in range(5)]
    story.go(5)
    assert story.rung is Rung.FULL
    story.bus.faults = [lost("1, 2") for _ in range(100)]
    story.until(Rung.HOLD, 60)
    assert "joint state is" in story.reason
    assert "no answer from 1, 2" in story.reason


def test_a_blocked_joint_stops_the_arm_until_the_operator_asks_anew(story: Story) -> None:
    story.bus.position_rad[:] = [-0.9, 0.5]
    story.go(5)
    story.mode, story.blocked = Mode.HOME, True
    story.until(Rung.HOLD, 1000)
    story.until(Rung.HOLD, 1000)
    story.go(300)
    assert story.rung is Rung.HOLD
    assert "waist is" in story.reason
    assert "off its command" in story.reason
    story.blocked = False
    story.go(100)
    assert story.rung is Rung.HOLD
    assert "off its command" in story.reason
    story.mode = Mode.POLICY
    story.planner = story.answer_by()
    story.until(Rung.FULL)


def disarmed(story: Story) -> None:
    """A story whose arm has stopped by itself at work, and been moved by hand since."""
    at_work(story)
    story.refusal = "port /dev/arm is gone"
    story.until(Rung.DISENGAGED)
    story.bus.position_rad = np.array([-0.7, 1.5])
    story.bus.sent.clear()


@pytest.mark.parametrize("mode", [Mode.HOME, Mode.POLICY, Mode.IDLE])
def test_joints_that_stopped_by_themselves_obey_no_mode_before_a_person_has_asked(
    story: Story, mode: Mode
) -> None:
    disarmed(story)
    for asked in (mode, Mode.IDLE, Mode.HOME, Mode.POLICY):
        story.mode = asked
        story.go(50)
        assert (story.rung, story.reason) == (Rung.DISENGAGED, "port /dev/arm is gone")
    assert story.bus.enabled == 1 and not story.bus.sent
    assert story.ticks[-1]["disarmed"]


def test_a_person_has_them_engaged_where_they_are_measured_and_the_policy_goes_on(
    story: Story,
) -> None:
    disarmed(story)
    story.go(20)
    story.arms += 1
    story.go(3)
    assert story.bus.enabled == 2 and not story.ticks[-1]["disarmed"]
    np.testing.assert_allclose(story.bus.sent[0].position_rad, [-0.7, 1.5], atol=1e-3)
    story.until(Rung.FULL)


def test_what_a_person_asks_while_the_joints_are_away_counts_not(story: Story) -> None:
    disarmed(story)
    story.bus.faults = [DeviceError("port /dev/arm does not exist") for _ in range(50)]
    story.go(25)
    story.arms += 1
    story.mode = Mode.HOME
    story.go(100)
    assert story.rung is Rung.DISENGAGED and not story.bus.sent
    story.arms += 1
    story.until(Rung.RAMP)


def test_joints_that_refuse_to_be_armed_leave_the_servo_alive_and_wait_for_the_next_request(
    story: Story,
) -> None:
    disarmed(story)
    story.bus.refusals = [DeviceError("servo 4 refuses")]
    story.arms += 1
    story.go(50)
    assert (story.rung, story.reason) == (Rung.DISENGAGED, "servo 4 refuses")
    assert not story.bus.sent
    story.arms += 1
    story.until(Rung.FULL)


def test_asked_to_shut_down_while_disarmed_it_may_end(story: Story) -> None:
    disarmed(story)
    story.mode = Mode.SHUTDOWN
    story.go(1)
    assert story.pilot.may_end


def test_a_plan_from_before_a_change_of_mode_is_never_followed(story: Story) -> None:
    story.go(10)
    waiting: list[Record] = []
    story.mode, story.planner = Mode.POLICY, lambda request: waiting.append(request.copy())
    while not waiting:
        story.go(1)
    story.planner = lambda request: None
    story.mode = Mode.IDLE
    story.go(2)
    story.mode = Mode.POLICY
    story.go(1)
    story.answer(waiting[-1], 4, step_rad=0.02)
    story.go(3)
    assert int(story.ticks[-1]["plan"]) == 0
    assert story.rung is Rung.HOLD


@pytest.mark.parametrize("trouble", ["none", "no planner", "a silent bus"])
def test_ticks_leave_no_objects_behind_for_a_collector_that_is_off(
    story: Story, trouble: str
) -> None:
    at_work(story)
    if trouble == "no planner":
        story.planner = lambda request: None

    def blocks_after(ticks: int) -> int:
        for _ in range(ticks):
            if trouble == "a silent bus":
                story.bus.faults = [lost()]
            story.go(1)
            story.ticks.pop()
            story.bus.sent.clear()
        return sys.getallocatedblocks()

    gc.collect()
    gc.disable()
    try:
        blocks_after(400)
        before = blocks_after(400)
        assert blocks_after(800) - before < 100  # one lasting object a tick would be 800
        assert gc.collect() < 100
    finally:
        gc.enable()


def test_asked_to_shut_down_in_motion_it_may_end_only_at_rest(story: Story) -> None:
    at_work(story)
    story.go(50)
    story.mode = Mode.SHUTDOWN
    story.go(1)
    assert not story.pilot.may_end
    story.until(Rung.HOLD, 100)
    assert story.pilot.may_end
