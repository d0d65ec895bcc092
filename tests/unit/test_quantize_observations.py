from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from calibration.observations import FIRST_SEED, STRIDE, rollout_observations, thinned

STEPS, EXECUTE, JOINTS = 40, 8, 2


class Plant:
    """Remembers where it was sent."""

    def __init__(self) -> None:
        self.sent: list[np.ndarray] = []

    def reset(self, rng: np.random.Generator) -> None:
        self.start = float(rng.uniform())

    def track(self, start_rad: np.ndarray, end_rad: np.ndarray) -> None:
        self.sent.append(end_rad)


class Never:
    def update(self, plant: Plant) -> bool:
        return False


class FakeTask:
    """Observes the command and the random start; remembers which episodes were asked for."""

    home_rad, max_steps = np.zeros(JOINTS), STEPS

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.plant = Plant()

    def make_plant(self) -> Plant:
        return self.plant

    def make_success(self) -> Never:
        return Never()

    def observe(self, plant: Plant, command_rad: np.ndarray) -> dict[str, np.ndarray]:
        return {"command": command_rad.astype(np.float32), "start": np.array([plant.start])}

    def evaluation_rng(self, seed: int, episode: int = 0) -> np.random.Generator:
        self.asked.append((seed, episode))
        return np.random.default_rng([seed, episode])


def still(observation: dict[str, np.ndarray]) -> np.ndarray:
    return np.zeros((EXECUTE, JOINTS))


@pytest.fixture
def task() -> Any:
    return FakeTask()


def test_no_episode_of_calibration_is_one_of_evaluation(task: FakeTask) -> None:
    rollout_observations(task, [still], 3, EXECUTE, first=5)
    assert task.asked == [(FIRST_SEED, 5), (FIRST_SEED, 6), (FIRST_SEED, 7)]


def test_observations_are_taken_between_plans_too(task: FakeTask) -> None:
    seen = rollout_observations(task, [still], 2, EXECUTE)
    assert seen["command"].shape == (2 * STEPS // STRIDE, 2, JOINTS)
    assert seen["command"].dtype == seen["start"].dtype == np.float32
    assert STRIDE < EXECUTE
    assert len(np.unique(seen["start"])) == 2


def test_every_other_episode_is_disturbed_by_one_offset_per_chunk(task: FakeTask) -> None:
    rollout_observations(task, [still], 2, EXECUTE)
    calm, shoved = np.stack(task.plant.sent[:STEPS]), np.stack(task.plant.sent[STEPS:])
    assert not calm.any()
    chunks = shoved.reshape(-1, EXECUTE, JOINTS)
    assert (chunks == chunks[:, :1]).all()
    assert len(np.unique(chunks[:, 0], axis=0)) == STEPS // EXECUTE
    assert 0.001 < np.abs(shoved).mean() < 0.3


def test_policies_take_turns(task: FakeTask) -> None:
    calls: list[int] = []

    def policy(number: int) -> Any:
        return lambda observation: (calls.append(number), still(observation))[1]

    rollout_observations(task, [policy(0), policy(1)], 4, EXECUTE)
    assert calls == [0] * 10 + [1] * 10


def test_thinning_spreads_evenly_and_never_repeats() -> None:
    rows = {"x": np.arange(100.0)[:, None]}
    assert thinned(rows, 5)["x"].ravel().tolist() == [0, 25, 50, 74, 99]
    assert len(thinned(rows, 1000)["x"]) == 100
