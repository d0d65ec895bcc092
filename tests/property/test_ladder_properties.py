"""What holds on the ladder whatever happens, over as many ticks as ``OAT_LADDER_STEPS`` says.

A million in CI. Each run draws seeds of its own; ``OAT_LADDER_SEED`` repeats one.
"""

from __future__ import annotations

import os
from collections import Counter

import numpy as np

from edge.ladder import Rung
from edge.rates import DRIVE_NS, ENGAGE_NS
from tests.edge_parts import TICK_NS
from tests.property.ladder_world import World
from tests.property.test_safety_properties import assert_within_limits

STEPS = int(os.environ.get("OAT_LADDER_STEPS", "1000000" if os.environ.get("CI") else "150000"))
STEPS_PER_SEED = 50_000
PERIOD_S = TICK_NS / 1e9
ARM = [0, 2]  # joints that take positions; the other is a wheel


class Watch:
    """Checks each tick of a world against the promises; the limits when all is over."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rung = Rung.DISENGAGED
        self._moved_ns = world.now_ns
        self._braking = 0
        self._plan = 0  # of the chunk that was followed
        self._measured_rad = world.measured_rad.copy()
        self._paths: list[list[np.ndarray]] = []
        self.steps: Counter[tuple[Rung, Rung]] = Counter()
        limits = world.limits
        braking_s = float(np.max(limits.velocity_rad_s / limits.acceleration_rad_s2))
        window_s = float(np.max(2 * limits.acceleration_rad_s2 / limits.jerk_rad_s3))
        self.longest_stop = (
            sum(int(np.ceil(s / PERIOD_S - 1e-6)) for s in (braking_s, window_s)) + 1
        )

    def look(self, sent: bool) -> None:
        """After each tick of the world."""
        world, before, after = self._world, self._rung, self._world.rung
        stood_since_ns = self._moved_ns
        if world.joints.pending:
            assert not sent and not world.nobody_asks
            assert world.pending_ticks * TICK_NS <= ENGAGE_NS + 2 * TICK_NS
        elif world.engaged:  # at the position measured after it: a new path, from rest
            assert not sent
            assert (world.filter.position_rad == self._measured_rad).all()
            self._paths.append([world.filter.position_rad.copy()])
            self._moved_ns = world.now_ns
        elif world.filter.engaged:
            assert sent
            self._follow_path()
        if after <= Rung.TAIL < before:
            self._check_rise(before, stood_since_ns)
        if before is Rung.TAIL and after < Rung.TAIL:
            assert world.chunk is not None and world.chunk.plan > self._plan
        if after is Rung.DRIVE:
            assert before in (Rung.DRIVE, Rung.HOLD)
            assert world.drive_age_ns <= DRIVE_NS
            self._check_that_the_arm_stays(before)
        self._braking = self._braking + 1 if after is Rung.DECELERATE else 0
        assert self._braking <= self.longest_stop
        if world.must_not_move:
            assert after in (Rung.DECELERATE, Rung.HOLD, Rung.DISENGAGED)
        self.steps[before, after] += 1
        self._rung = after
        self._plan = world.chunk.plan if world.chunk is not None else 0
        self._measured_rad = world.measured_rad.copy()

    def _follow_path(self) -> None:
        position = self._world.filter.position_rad.copy()
        if (position != self._paths[-1][-1]).any():
            self._moved_ns = self._world.now_ns
            assert self._rung is not Rung.HOLD or self._world.rung is not Rung.HOLD
        self._paths[-1].append(position)

    def _check_that_the_arm_stays(self, before: Rung) -> None:
        if before is Rung.DRIVE and len(self._paths[-1]) > 1:
            last, now = self._paths[-1][-2:]
            assert (now[ARM] == last[ARM]).all()

    def _check_rise(self, before: Rung, stood_since_ns: int) -> None:
        """Up only from hold, by a chunk of a plan whose observation was made at standstill."""
        chunk = self._world.chunk
        assert before is Rung.HOLD
        assert chunk is not None
        assert chunk.observed_ns == self._world.observed_ns[chunk.plan]
        assert chunk.observed_ns > stood_since_ns

    def check_limits(self) -> None:
        for path in self._paths:
            assert_within_limits(self._world.filter, np.array(path))


def live(seed: int, steps: int) -> Watch:
    """So many ticks of one world. A failure names what repeats it."""
    world = World(seed)
    watch = Watch(world)
    try:
        for _ in range(steps):
            sent = world.step() is not None
            watch.look(sent)
        watch.check_limits()
    except AssertionError as error:
        repeat = f"OAT_LADDER_SEED={seed} repeats it, at tick {world.tick}"
        raise AssertionError(f"{repeat}: {error}") from error
    return watch


def seeds() -> list[int]:
    """One for every ``STEPS_PER_SEED``, from the system's randomness unless one is asked for."""
    asked = os.environ.get("OAT_LADDER_SEED")
    if asked is not None:
        return [int(asked)]
    count = -(-STEPS // STEPS_PER_SEED)
    return np.random.SeedSequence().generate_state(count).tolist()


def test_it_keeps_limits_rises_only_by_plans_from_standstill_and_stops_in_time() -> None:
    taken: Counter[tuple[Rung, Rung]] = Counter()
    for seed in seeds():
        taken += live(seed, min(STEPS, STEPS_PER_SEED)).steps
    followed = {rung for _, rung in taken}
    assert followed == set(Rung), f"the world never brought about {set(Rung) - followed}"
    rises = sum(count for (before, after), count in taken.items() if after <= Rung.TAIL < before)
    assert rises > sum(taken.values()) / 10_000
